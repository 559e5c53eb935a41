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


# A person waits for the answer, or would rather go on without it.
CRITICAL = Deadlines(attempt=timedelta(seconds=5), retries=3, total=timedelta(seconds=20))
OPTIONAL = Deadlines(attempt=timedelta(seconds=1), retries=1, total=timedelta(seconds=2.5))
BACKGROUND = Deadlines(attempt=timedelta(seconds=60), retries=3, total=timedelta(seconds=240))
