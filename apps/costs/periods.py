"""The periods of budgets: days, weeks (from Monday) and months of a tenant's own calendar."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

# Before UTC, the clocks of the Line Islands.
FURTHEST_AHEAD = timedelta(hours=14)


def period_start(period: str, *, at: datetime, time_zone: str) -> date:
    """The first day of the period ("day", "week" or "month") that an instant falls into."""
    return first_day(period, at.astimezone(ZoneInfo(time_zone)).date())


def first_day(period: str, day: date) -> date:
    """The first day of the day, week or month that a day is in."""
    match period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
    raise ValueError(f"no period: {period!r}")


def last_day(period: str, day: date) -> date:
    """The last day of the day, week or month that a day is in."""
    return _next_start(period, first_day(period, day)) - timedelta(days=1)


def period_bounds(period: str, *, start: date, time_zone: str) -> tuple[datetime, datetime]:
    """A period's first instant and the next one's, in UTC; a day may last 23 or 25 hours."""
    return _midnight(start, time_zone), _midnight(_next_start(period, start), time_zone)


def _next_start(period: str, start: date) -> date:
    match period:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case "month":
            return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    raise ValueError(f"no period: {period!r}")


def earliest_begin(day: date) -> datetime:
    """When a day begins where clocks are furthest ahead, so nowhere sooner; in UTC."""
    return datetime.combine(day, time(), tzinfo=UTC) - FURTHEST_AHEAD


def _midnight(day: date, time_zone: str) -> datetime:
    # Where clocks skip midnight, this is the instant at which they do; where they repeat it, the first one.
    return datetime.combine(day, time(), tzinfo=ZoneInfo(time_zone)).astimezone(UTC)
