"""Whether this process's senders keep up: how long after their grant messages are on their way.

What is granted while they don't only waits here, ahead of whatever becomes due meanwhile. So the busier they
are, the fewer accounts a claim visits, and of a tenant with a backlog the fewer while others send as well: it
delays them by little.
"""

import time
from dataclasses import dataclass, field

# A message of a claim that is done at leisure is on its way so soon.
CALM_S = 0.04
# Later than this, no more is granted until the senders have caught up.
LATE_S = 0.25
# For so long a delay tells something about the present; and something at all.
_TELLS_FOR_S = 0.2
_KNOWN_FOR_S = 2.0
_WEIGHT = 0.1
# While messages are on their way hardly later than the soonest of them there is time for more of a backlog.
# Each claim then tries a little more of it, and the less the later they are: additive increase,
# multiplicative decrease, as in TCP. What counts is how long they queue: how long they take where nothing
# queues is the database's and the broker's affair (Brakmo and Peterson, “TCP Vegas”, 1995).
BACKLOG_CALM_S = 0.03
# The soonest is believed less by so much a second, lest it be one lucky message's for ever.
_SOONEST_RISES = 0.1
_TURNS_AT_FIRST = 10.0
_TURNS_MORE = 0.5
_CUT_AT_MOST = 0.5
# A visit brings up to ten messages, where who sends now and then has one: so this is still a fair share.
TURNS_AT_LEAST = 1.0


@dataclass(slots=True)
class Pressure:
    """A moving average of the delays, in seconds. If two threads note at once, one may be lost: no matter."""

    _delay: float = 0.0
    _noted_at: float = field(default=float("-inf"))
    _soonest: float = field(default=float("inf"))

    def note(self, delay: float) -> None:
        before, now = self.delay, time.monotonic()
        self._delay = before + _WEIGHT * (delay - before) if before else delay
        if self._soonest < delay:
            self._soonest = min(delay, self._soonest * (1 + _SOONEST_RISES * (now - self._noted_at)))
        else:
            self._soonest = delay
        self._noted_at = now

    @property
    def delay(self) -> float:
        """What a message that is granted now has to expect; none where there was no other lately."""
        return self._known_for(_TELLS_FOR_S)

    @property
    def queueing(self) -> float | None:
        """How much later than the soonest messages are on their way; None if nothing was sent lately."""
        latest = self._known_for(_KNOWN_FOR_S)
        return max(latest - self._soonest, 0.0) if latest else None

    @property
    def is_high(self) -> bool:
        return self.delay > LATE_S

    def share(self, full: int) -> int:
        """How much of a full claim can be sent soon: the reciprocal of the delay, a tenth at least."""
        return max(full // 10, round(full * CALM_S / max(self.delay, CALM_S)))

    def _known_for(self, seconds: float) -> float:
        return self._delay if time.monotonic() - self._noted_at < seconds else 0.0


@dataclass(slots=True)
class Turns:
    """How many accounts claims visit of a tenant with a backlog while others have something to send."""

    # Until when, by the monotonic clock, others count as having something to send.
    shared_until: float = field(default=float("-inf"))
    _number: float = _TURNS_AT_FIRST
    _saved: float = 0.0

    def take(self) -> int:
        """For the next claim, in whole accounts: what is left over counts in later ones."""
        self._saved += self._number
        whole = int(self._saved)
        self._saved -= whole
        return whole

    def learn(self, queueing: float | None, *, full: int) -> None:
        """A backlog was given no more than its turns, and messages queue for so long; None: none was sent."""
        if queueing is None:
            return
        if queueing > BACKLOG_CALM_S:
            cut = max(_CUT_AT_MOST, BACKLOG_CALM_S / queueing)
            self._number = max(TURNS_AT_LEAST, self._number * cut)
        else:
            self._number = min(self._number + _TURNS_MORE, full)


PRESSURE = Pressure()
TURNS = Turns()
