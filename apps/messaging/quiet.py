"""Quiet hours: when an account sends nothing, by the clock on its wall."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from apps.common.instants import LAST, later

_DAY = timedelta(days=1)
# So many nights are looked at one by one; beyond, a change of the clock may shift the result by an hour.
_NIGHTS = 7


def quiet_until(now: datetime, *, start: time | None, end: time | None, zone: str) -> datetime | None:
    """The end of the quiet hours that `now` lies in (`start` to just before `end`); None outside them.

    They may span midnight; equal ends mean the whole day. Where a change of the clock makes a wall time
    happen twice or not at all, quiet begins at its earlier reading and ends at the later: rather too long.
    Two nights may then overlap, and are one.
    """
    if start is None or end is None or now > LAST - 3 * _DAY:
        return None
    today = now.astimezone(ZoneInfo(zone)).date()
    until: datetime | None = None
    for first in (today + timedelta(days=days) for days in (-1, 0, 1)):
        last = first if start < end else first + timedelta(days=1)
        begins = min(_readings(datetime.combine(first, start), zone))
        ends = max(_readings(datetime.combine(last, end), zone))
        if begins <= now < ends or (until and begins < until < ends):
            until = ends
    return until


def when_awake(
    begin: datetime, span: timedelta, *, start: time | None, end: time | None, zone: str
) -> datetime:
    """The instant by which `span` has passed outside quiet hours since `begin`; it isn't quiet then."""
    if start is None or end is None or begin > LAST - 2 * _NIGHTS * _DAY:
        return later(begin, span)
    if start == end:
        return LAST
    wall = datetime.combine(begin.date(), end) - datetime.combine(begin.date(), start)
    awake = _DAY - wall % _DAY
    days = max(span // awake - _NIGHTS, 0)
    begin, span = later(begin, days * _DAY), span - days * awake
    while begin < LAST - _NIGHTS * _DAY:
        begin = quiet_until(begin, start=start, end=end, zone=zone) or begin
        evening = _next_evening(begin, start=start, zone=zone)
        if begin + span < evening:
            return begin + span
        span -= evening - begin
        begin = evening
    return LAST


def _next_evening(after: datetime, *, start: time, zone: str) -> datetime:
    """When quiet hours begin next."""
    today = after.astimezone(ZoneInfo(zone)).date()
    evenings = (min(_readings(datetime.combine(today + step * _DAY, start), zone)) for step in range(3))
    return next(evening for evening in evenings if evening > after)


def _readings(wall: datetime, zone: str) -> tuple[datetime, datetime]:
    """The two instants that a wall time may mean (PEP 495); equal but for the hours around a change."""
    local = wall.replace(tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
