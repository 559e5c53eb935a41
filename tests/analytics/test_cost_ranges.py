"""Bars of days, weeks and months; change against the range before; how amounts are rounded."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.analytics.cost_ranges import RANGES, percent, spend_of
from apps.common.money import rounded

TODAY = date(2026, 5, 14)  # a Thursday


def test_a_bar_is_a_day_and_days_without_spend_have_one_too() -> None:
    found = spend_of({(TODAY, "openai"): Decimal(3)}, days=7, today=TODAY)
    assert [bar.first for bar in found.bars] == [date(2026, 5, day) for day in range(8, 15)]
    assert [bar.total for bar in found.bars] == [0, 0, 0, 0, 0, 0, 3]


def test_weeks_begin_on_monday_and_are_cut_off_at_both_ends() -> None:
    found = spend_of({}, days=90, today=TODAY)
    first, second, *_, last = found.bars
    assert (first.first, first.last) == (date(2026, 2, 14), date(2026, 2, 15))
    assert second.first.weekday() == 0
    assert (last.first, last.last) == (date(2026, 5, 11), TODAY)


def test_months_are_those_of_the_calendar() -> None:
    found = spend_of({}, days=365, today=TODAY)
    assert len(found.bars) == 13
    assert (found.bars[0].first, found.bars[0].last) == (date(2025, 5, 15), date(2025, 5, 31))
    assert (found.bars[9].first, found.bars[9].last) == (date(2026, 2, 1), date(2026, 2, 28))


@given(st.sampled_from(sorted(RANGES)), st.dates(date(2001, 1, 1), date(2099, 12, 31)))
def test_each_day_is_in_one_bar(days: int, today: date) -> None:
    spent = {(today - timedelta(days=number), "openai"): Decimal(1) for number in range(2 * days)}
    found = spend_of(spent, days=days, today=today)
    assert found.total == found.before == days
    assert all(bar.total == (bar.last - bar.first).days + 1 for bar in found.bars)
    assert found.bars[-1].last == today


def test_the_change_is_against_as_many_days_before() -> None:
    spent = {
        (TODAY - timedelta(days=14), "openai"): Decimal(1000),  # before both
        (TODAY - timedelta(days=13), "openai"): Decimal(30),
        (TODAY - timedelta(days=7), "azure"): Decimal(10),
        (TODAY - timedelta(days=6), "azure"): Decimal(50),
    }
    found = spend_of(spent, days=7, today=TODAY)
    assert (found.before, found.total, found.change) == (Decimal(40), Decimal(50), Decimal("25.0"))
    assert found.providers == ("azure",)


@pytest.mark.parametrize("whole", [Decimal(0), Decimal(-1)])
def test_there_is_no_percentage_of_nothing(whole: Decimal) -> None:
    assert percent(Decimal(1), whole) is None


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        ("1234.5678", "1234.57"),
        ("0.12345", "0.1235"),
        ("0.0000123", "0.0000123"),
        ("-3.456", "-3.46"),
        ("0", "0.0000"),
    ],
)
def test_amounts_are_shown_to_the_cent_and_small_ones_further(exact: str, shown: str) -> None:
    assert f"{rounded(Decimal(exact)):f}" == shown
