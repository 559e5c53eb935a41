"""Whether this process's senders keep up: how long after their grant messages are on their way.

What is granted while they don't only waits here, ahead of whatever becomes due meanwhile. So the busier they
are, the fewer accounts a claim visits: a tenant with a lot to send delays the others by little.
"""

import time
from dataclasses import dataclass, field

# A message of a claim that is done at leisure is on its way so soon.
CALM_S = 0.04
# Later than this, no more is granted until the senders have caught up.
LATE_S = 0.25
# For so long a delay tells something about the present.
_TELLS_FOR_S = 0.2
_WEIGHT = 0.1


@dataclass(slots=True)
class Pressure:
    """A moving average of the delays, in seconds. If two threads note at once, one may be lost: no matter."""

    _delay: float = 0.0
    _noted_at: float = field(default=float("-inf"))

    def note(self, delay: float) -> None:
        before = self.delay
        self._delay = before + _WEIGHT * (delay - before) if before else delay
        self._noted_at = time.monotonic()

    @property
    def delay(self) -> float:
        """What a message that is granted now has to expect; none where there was no other lately."""
        return self._delay if time.monotonic() - self._noted_at < _TELLS_FOR_S else 0.0

    @property
    def is_high(self) -> bool:
        return self.delay > LATE_S

    def share(self, full: int) -> int:
        """How much of a full claim can be sent soon: the reciprocal of the delay, a tenth at least."""
        return max(full // 10, round(full * CALM_S / max(self.delay, CALM_S)))


PRESSURE = Pressure()
