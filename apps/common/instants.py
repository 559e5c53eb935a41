"""Instants far ahead."""

from datetime import UTC, datetime, timedelta

# The last one that Python, and so our API, can name.
LAST = datetime.max.replace(tzinfo=UTC)


def later(start: datetime, wait: timedelta) -> datetime:
    """`start` plus `wait`, but no later than the last instant."""
    return start + min(wait, LAST - start)
