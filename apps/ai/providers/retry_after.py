"""When a provider wants to be asked again. Pure: the clock is an argument."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime


def read(headers: Mapping[str, str], *, now: datetime) -> timedelta | None:
    """The wait that an answer's headers ask for; None if they ask for none that can be understood.

    `retry-after-ms` is OpenAI's and finer than `Retry-After` (RFC 9110, 10.2.3), in seconds or as a date.
    A date is by the provider's clock, so it is compared with the answer's own `Date`, and with `now` only
    where there is none.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return _wait(milliseconds / 1000)
    value = headers.get("retry-after", "").strip()
    seconds = _number(value)
    if seconds is not None:
        return _wait(seconds)
    until = _date(value)
    if until is None:
        return None
    return max(timedelta(), until - (_date(headers.get("date", "")) or now))


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _wait(seconds: float) -> timedelta | None:
    try:
        return max(timedelta(), timedelta(seconds=seconds))
    except OverflowError:
        return None


def _date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # “-0000” is UTC without a place
