"""What is left of a question's attempts and time, and what is set aside of it for later deployments. Pure."""

from collections.abc import Callable
from datetime import datetime, timedelta

from apps.ai.deadlines import Deadlines

_SHORTEST = timedelta(milliseconds=1)
# With less time than that nobody is asked: it would be paid for, and be taken for the deployment's failure.
TOO_LATE = timedelta(seconds=0.2)


class Allowance:
    """Counts down while deployments take turns.

    At the beginning of a turn an attempt, and the time of one, is set aside for each deployment that may come
    later, as far as attempts and time reach. Whoever is refused takes neither, so the next turn has them.

    `ends_at` is the deadline of the whole: some of it may have been spent waiting for somebody else's answer.
    """

    def __init__(self, deadlines: Deadlines, *, ends_at: datetime, clock: Callable[[], datetime]) -> None:
        self._attempt, self._ends_at, self._clock = deadlines.attempt, ends_at, clock
        self._too_late = min(deadlines.attempt, TOO_LATE)
        self._attempts, self._reserved = 1 + deadlines.retries, 0

    def begin_turn(self, *, later: int) -> None:
        """A deployment's turn begins, and so many may have theirs afterwards."""
        # The last one of them, and the present one, may have to do with half of an attempt's time.
        in_time = max(round(self._left / self._attempt), 1)
        self._reserved = min(later, self._attempts - 1, in_time - 1)

    def attempted(self) -> None:
        self._attempts -= 1

    @property
    def allows_another(self) -> bool:
        """Whether anybody may be asked at all."""
        return self._attempts > 0 and self._left >= self._too_late

    @property
    def allows_more_here(self) -> bool:
        """Whether the deployment whose turn it is may be asked once more."""
        return self._attempts > self._reserved and self.time_left >= self._too_late

    def allows_wait(self, delay: timedelta) -> bool:
        """Whether it may be asked after a while."""
        return delay + self._too_late <= self.time_left

    @property
    def time_left(self) -> timedelta:
        """Until the deadline, less what is set aside."""
        return self._left - self._reserved * self._attempt

    def timeout(self, longest: timedelta) -> timedelta:
        """For one attempt now, at a deployment that may take so long."""
        return max(min(longest, self._attempt, self.time_left), _SHORTEST)

    @property
    def _left(self) -> timedelta:
        return self._ends_at - self._clock()
