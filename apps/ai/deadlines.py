"""How long a caller waits, how often we try meanwhile, and where time comes from."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Deadlines:
    """`attempt` and `total` limit one call and all of them together, waits included.

    `degrades`: rather than an error, the caller takes an old answer or a template. `waits`: nobody waits for
    the answer, so while no deployment may be called the question does, as long as there is time.
    """

    attempt: timedelta
    retries: int
    total: timedelta
    degrades: bool = False
    waits: bool = False

    def after(self, wait: timedelta) -> "Deadlines":
        """What is left of them for one who has waited already."""
        return replace(self, total=max(self.total - wait, timedelta()))

    def capped(self, attempt: timedelta) -> "Deadlines":
        """The same with attempts no longer than that."""
        return self if self.attempt <= attempt else replace(self, attempt=attempt)


# A person waits for the answer, or would rather go on without it.
CRITICAL = Deadlines(attempt=timedelta(seconds=5), retries=3, total=timedelta(seconds=20))
OPTIONAL = Deadlines(attempt=timedelta(seconds=1), retries=1, total=timedelta(seconds=2.5), degrades=True)
BACKGROUND = Deadlines(attempt=timedelta(seconds=60), retries=3, total=timedelta(seconds=240), waits=True)


# Threads may share it, and a new one asks the system for its seed. Processes must not draw alike.
_RNG = random.Random()  # noqa: S311  # it draws among equals, and no secret
os.register_at_fork(after_in_child=_RNG.seed)


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time and chance come from."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = _RNG
