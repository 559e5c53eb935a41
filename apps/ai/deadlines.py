"""How long a caller waits, and how often we try meanwhile."""

from dataclasses import dataclass, replace
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Deadlines:
    """`attempt` and `total` limit one call and all of them together, waits included."""

    attempt: timedelta
    retries: int
    total: timedelta

    def capped(self, attempt: timedelta) -> "Deadlines":
        """The same with attempts no longer than that."""
        return replace(self, attempt=min(self.attempt, attempt))


BACKGROUND = Deadlines(attempt=timedelta(seconds=60), retries=3, total=timedelta(seconds=240))
