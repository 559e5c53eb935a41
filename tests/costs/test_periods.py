from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.costs.periods import period_bounds, period_start

PERIODS = ["day", "week", "month"]
# With clocks that skip or repeat midnight (Beirut, Havana), half hours (Lord Howe) and a lost day (Apia).
ZONES = ["UTC", "Europe/Paris", "Asia/Beirut", "America/Havana", "Australia/Lord_Howe", "Pacific/Apia"]


@given(
    at=st.datetimes(datetime(2011, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(PERIODS),
)
def test_every_instant_lies_in_its_period_and_periods_meet(at: datetime, zone: str, period: str) -> None:
    start = period_start(period, at=at, time_zone=zone)
    since, until = period_bounds(period, start=start, time_zone=zone)

    assert since <= at < until
    following = period_start(period, at=until, time_zone=zone)
    assert period_bounds(period, start=following, time_zone=zone)[0] == until
    assert period_start(period, at=since, time_zone=zone) == start


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 5, 5), 24)]
)
def test_a_day_has_as_many_hours_as_its_clock(day: date, hours: int) -> None:
    since, until = period_bounds("day", start=day, time_zone="Europe/Paris")

    assert until - since == timedelta(hours=hours)


def test_a_period_begins_at_the_tenants_midnight() -> None:
    late = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)

    assert period_start("month", at=late, time_zone="UTC") == date(2026, 1, 1)
    assert period_start("month", at=late, time_zone="Europe/Paris") == date(2026, 2, 1)
    assert period_bounds("month", start=date(2026, 2, 1), time_zone="Europe/Paris") == (
        datetime(2026, 2, 1, tzinfo=ZoneInfo("Europe/Paris")),
        datetime(2026, 3, 1, tzinfo=ZoneInfo("Europe/Paris")),
    )


def test_a_week_begins_on_monday() -> None:
    sunday = datetime(2026, 1, 4, 12, tzinfo=UTC)

    assert period_start("week", at=sunday, time_zone="UTC") == date(2025, 12, 29)


def test_an_unknown_period_is_refused() -> None:
    with pytest.raises(ValueError, match="year"):
        period_start("year", at=datetime(2026, 1, 1, tzinfo=UTC), time_zone="UTC")
    with pytest.raises(ValueError, match="year"):
        period_bounds("year", start=date(2026, 1, 1), time_zone="UTC")
