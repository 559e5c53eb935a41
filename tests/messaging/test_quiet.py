"""Quiet hours by the clock on the wall, over midnight and over its changes."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.messaging.quiet import quiet_until

PARIS = "Europe/Paris"  # changes on 2026-03-29 (02:00 to 03:00) and on 2026-10-25 (03:00 to 02:00)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "start", "end", "until"),
    [
        ("2026-01-10 11:59", time(13), time(15), None),
        ("2026-01-10 12:00", time(13), time(15), "2026-01-10 14:00"),
        ("2026-01-10 13:59:59", time(13), time(15), "2026-01-10 14:00"),
        ("2026-01-10 14:00", time(13), time(15), None),
        # Over midnight.
        ("2026-01-10 21:59", time(23), time(7), None),
        ("2026-01-10 22:00", time(23), time(7), "2026-01-11 06:00"),
        ("2026-01-11 05:59", time(23), time(7), "2026-01-11 06:00"),
        # The night that is an hour short, the one that is an hour long.
        ("2026-03-28 23:00", time(23), time(7), "2026-03-29 05:00"),
        ("2026-10-24 23:00", time(23), time(7), "2026-10-25 06:00"),
        # An end that the clock skips, and one that it shows twice.
        ("2026-03-29 00:50", time(1), time(2, 30), "2026-03-29 01:30"),
        ("2026-10-25 00:45", time(1), time(2, 30), "2026-10-25 01:30"),
        ("2026-10-25 01:15", time(1), time(2, 30), "2026-10-25 01:30"),
        # An end that it skips, after a start that it skips as well: the next night has begun by then.
        ("2026-03-29 00:00", time(2, 40), time(2, 13), "2026-03-30 00:13"),
        # A start that it shows twice.
        ("2026-10-25 00:15", time(2), time(4), "2026-10-25 03:00"),
    ],
)
def test_quiet_hours_end_when_the_wall_clock_says(
    now: str, start: time, end: time, until: str | None
) -> None:
    assert quiet_until(utc(now), start=start, end=end, zone=PARIS) == (until and utc(until))


def test_without_quiet_hours_an_account_is_never_quiet() -> None:
    assert quiet_until(utc("2026-01-10 03:00"), start=None, end=None, zone=PARIS) is None


@given(
    now=st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: utc("2026-01-01") + timedelta(minutes=minutes)),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from([PARIS, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
)
def test_what_the_wall_clock_shows_as_quiet_is_quiet(
    now: datetime, start: time, end: time, zone: str
) -> None:
    shown = now.astimezone(ZoneInfo(zone)).time()
    quiet = start <= shown < end if start < end else shown >= start or shown < end

    until = quiet_until(now, start=start, end=end, zone=zone)

    # Around a change it may be quiet a little longer, never shorter.
    assert until or not quiet
    if until:
        assert now < until <= now + timedelta(hours=50)
