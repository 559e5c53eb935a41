"""By which rate a day or a month is shown."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.costs.currencies import Conversion, conversion, converted

DAYS = st.dates(date(2025, 1, 1), date(2026, 12, 31))
RATES = st.dictionaries(DAYS, st.decimals(min_value="0.000001", max_value=1000, places=6), max_size=12)


def convert(
    rates: Mapping[date, str | Decimal], since: date, until: date, currency: str = "EUR"
) -> Conversion:
    given = [(day, Decimal(rate)) for day, rate in sorted(rates.items())]
    return conversion(
        currency=currency, since=since, until=until, present_month=date(2026, 5, 1), rates=given
    )


@given(rates=RATES, one=DAYS, other=DAYS)
def test_a_day_has_the_latest_rate_on_or_before_it(
    rates: dict[date, Decimal], one: date, other: date
) -> None:
    since, until = min(one, other), max(one, other)
    # As they are read: those of the range, and the last before it.
    before = max((day for day in rates if day <= since), default=since)
    found = convert({day: rate for day, rate in rates.items() if before <= day <= until}, since, until)

    for step in range((until - since).days + 1):
        day = since + timedelta(days=step)
        known = [each for each in rates if each <= day]
        assert found.days.get(day) == (rates[max(known)] if known else None)
    assert (found.missing is None) == (since in found.days)


def test_a_month_has_its_last_days_rate() -> None:
    rates = {date(2026, 2, 28): "0.9", date(2026, 3, 1): "0.8", date(2026, 3, 31): "0.7"}

    found = convert(rates, date(2026, 2, 1), date(2026, 4, 30))

    assert found.months == {
        date(2026, 2, 1): Decimal("0.9"),
        date(2026, 3, 1): Decimal("0.7"),
        date(2026, 4, 1): Decimal("0.7"),
    }
    assert found.missing == (
        "There is no rate of EUR before 2026-02-28, so what includes earlier days is shown in USD alone."
    )


def test_without_a_rate_nothing_is_converted_and_it_says_so() -> None:
    found = convert({}, date(2026, 2, 1), date(2026, 4, 30))
    assert (found.days, found.months) == ({}, {})
    assert found.missing == ("There is no rate of EUR for these days, so amounts are shown in USD alone.")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.00000000005", "0E-10"),
        ("0.00000000015", "2E-10"),
        ("1.00000000005000001", "1.0000000001"),
        ("123456789012345678901234567890.123", "123456789012345678901234567890.1230000000"),
    ],
)
def test_a_converted_sum_is_rounded_once_to_the_ledgers_places(amount: str, shown: str) -> None:
    assert converted(Decimal(amount)) == Decimal(shown)
