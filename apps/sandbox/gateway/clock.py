"""The gateway's own clock."""

import time


class Clock:
    """Seconds since the epoch that never step: the wall clock is read once, the monotonic one from then on.

    A corrected wall clock would otherwise move arrivals closer together or further apart than they were.
    """

    def __init__(self, *, not_before: float = 0) -> None:
        """`not_before` is the last time that was handed out before (by the process that ran until now)."""
        self._start = max(time.time_ns(), round(not_before * 1e9))
        self._monotonic_start = time.monotonic_ns()

    def now(self) -> float:
        """Seconds, exact to the microsecond."""
        elapsed = time.monotonic_ns() - self._monotonic_start
        return round((self._start + elapsed) // 1000 / 1e6, 6)
