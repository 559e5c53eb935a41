"""Quiet hours: when an account sends nothing, by the clock on its wall."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


def quiet_until(now: datetime, *, start: time | None, end: time | None, zone: str) -> datetime | None:
    """The end of the quiet hours that `now` lies in (`start` to just before `end`); None outside them.

    They may span midnight; equal ends mean the whole day. Where a change of the clock makes a wall time
    happen twice or not at all, quiet begins at its earlier reading and ends at the later: rather too long.
    """
    if start is None or end is None:
        return None
    today = now.astimezone(ZoneInfo(zone)).date()
    for first in (today - timedelta(days=1), today):
        last = first if start < end else first + timedelta(days=1)
        begins = min(_readings(datetime.combine(first, start), zone))
        ends = max(_readings(datetime.combine(last, end), zone))
        if begins <= now < ends:
            return ends
    return None


def _readings(wall: datetime, zone: str) -> tuple[datetime, datetime]:
    """The two instants that a wall time may mean (PEP 495); equal but for the hours around a change."""
    local = wall.replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
