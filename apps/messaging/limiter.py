"""The limiter's decision: an exact sliding log. Pure; where the log is kept is services/slots.py's matter.

A stamp is the latest instant at which a granted request can arrive. Suppose that N + 1 requests arrive in one
half-open window of length W, the last-granted of them at some moment g before the window's end. The other N
arrived later than g less W, so at g their stamps were younger than W and all N counted: it wasn't granted. No
window ever holds more than N.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

CLOCK_MARGIN = timedelta(milliseconds=250)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` arrivals in any half-open window of so many seconds of the receiver's clock."""

    count: int
    seconds: float

    @property
    def window(self) -> timedelta:
        """The window, lengthened by what two clocks may differ: 250 ms, but at most 1 % of it."""
        promised = timedelta(seconds=self.seconds)
        return promised + min(CLOCK_MARGIN, promised / 100)


@dataclass(frozen=True, slots=True)
class Decision:
    """How many slots are free now, and the first instant at which at least one is."""

    free: int
    next_free: datetime


def decide(stamps: Iterable[datetime], *, limit: Limit, now: datetime) -> Decision:
    """What a log leaves of a limit. Stamps that lie ahead count: such a request may yet arrive."""
    window = limit.window
    counted = sorted((stamp for stamp in stamps if stamp > now - window), reverse=True)
    free = max(0, limit.count - len(counted))
    return Decision(free=free, next_free=now if free else counted[limit.count - 1] + window)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that would like a slot."""

    message_id: UUID
    fan_id: UUID


@dataclass(frozen=True, slots=True)
class Admission:
    """Who got a slot; whom its recipient's limit refused, and until when; when the account has one."""

    granted: tuple[UUID, ...]
    refused: Mapping[UUID, datetime]
    next_free: datetime


@dataclass(slots=True)
class Log:
    """The stamps of one account, by recipient."""

    by_fan: dict[UUID, list[datetime]] = field(default_factory=dict)

    @property
    def stamps(self) -> list[datetime]:
        return [stamp for stamps in self.by_fan.values() for stamp in stamps]

    def add(self, fan_id: UUID, stamp: datetime) -> None:
        self.by_fan.setdefault(fan_id, []).append(stamp)


def admit(
    candidates: Sequence[Candidate],
    *,
    log: Log,
    account: Limit,
    recipient: Limit,
    stamp: datetime,
    now: datetime,
) -> Admission:
    """Grant slots in the candidates' order and add their stamps to the log.

    A candidate needs a slot of its account and of its recipient, or takes neither. One that its recipient
    refuses is passed over; once the account has none left, the rest waits.
    """
    granted: list[UUID] = []
    refused: dict[UUID, datetime] = {}
    free = decide(log.stamps, limit=account, now=now).free
    for candidate in candidates:
        if len(granted) == free:
            break
        decision = decide(log.by_fan.get(candidate.fan_id, ()), limit=recipient, now=now)
        if decision.free:
            log.add(candidate.fan_id, stamp)
            granted.append(candidate.message_id)
        else:
            refused[candidate.message_id] = decision.next_free
    next_free = decide(log.stamps, limit=account, now=now).next_free
    return Admission(granted=tuple(granted), refused=refused, next_free=next_free)
