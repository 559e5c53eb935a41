"""Breakers in a state of a test's choice, where the real ones need failures and time."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Breaker:
    state: str = "closed"
    excluded: str | None = None
    waits: timedelta | None = None
    cool_down_left: timedelta | None = None


OPEN = Breaker("open", "open: 5 failures in a row", timedelta(seconds=42))
COOLING = Breaker("closed", "asked for a pause", cool_down_left=timedelta(seconds=3))
