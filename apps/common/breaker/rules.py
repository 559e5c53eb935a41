"""What a breaker is set to, what it is told, and what it says. machine.py decides."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from apps.common.breaker import window

_MILLISECOND = timedelta(milliseconds=1)


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"

    @property
    def words(self) -> str:
        return self.value.replace("_", "-")


class Result(StrEnum):
    """What became of a call that was admitted.

    SUCCESS: it was answered. Ends a run of failures; as a probe, brings the breaker closer to closing.

    FAILURE: no connection, a 5xx, or a time-out of the service's own attempt time-out. As a probe, opens the
    breaker again, for twice as long.

    SHORT_TIMEOUT: a time-out of a caller with less patience than that. A failure, also as a probe, if the
    service answered nobody between the attempt's start and its end; otherwise it says nothing.

    NEUTRAL: it was answered, but with what says nothing of the service's health: a 4xx (a 429's `cool_down`
    comes besides), a filter. It counts neither as a call nor as a failure, and a run of failures goes on
    across it: a gateway that refuses bad requests may stand before a dead service. It does show that somebody
    was answered, for other callers' short time-outs. As a probe it gives the lease back: it neither closes
    the breaker nor opens it again, and the next call is the next probe.

    ABANDONED: the call was never made. Says nothing; a probe's lease is free again.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    SHORT_TIMEOUT = "short_timeout"
    NEUTRAL = "neutral"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Settings:
    """Opens at `opens_after` failures in a row, or once at least `share` of at least `least_calls` calls
    within `window` have failed. After `recovery` a probe may go; each probe that fails doubles it, up to
    `recovery_at_most`. `closes_after` probes in a row that are answered close it.
    """

    opens_after: int = 5
    share: float = 0.5
    least_calls: int = 20
    window: timedelta = timedelta(seconds=30)
    recovery: timedelta = timedelta(seconds=60)
    recovery_at_most: timedelta = timedelta(seconds=600)
    closes_after: int = 2


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to call a service once. The result is told with it, and ignored if the breaker has changed since.

    A probe's `token` names its lease. Negative epochs are of one process, while Redis is away.
    """

    name: str
    epoch: int
    probe: bool = False
    token: str = ""

    @property
    def is_local(self) -> bool:
        return self.epoch < 0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a call, and how long before the telling it began and ended."""

    result: Result
    started_ago: timedelta = timedelta()
    ended_ago: timedelta = timedelta()
    cool_down: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A breaker went from one state to another; both are the same where only the operator's word is new."""

    name: str
    before: State
    after: State
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Admitted:
    """Whether a call may go now, and what of the breaker changed by asking."""

    admission: Admission | None
    changes: list[Change] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What a result changed, and how the breakers that were asked about are since."""

    changes: list[Change]
    statuses: dict[str, "Status"]


@dataclass(frozen=True, slots=True)
class Status:
    """A breaker as it was read.

    `failures_in_a_row` counts in the closed state. `waits` is how long until a probe may go: None while
    closed, and while opened by hand. `cool_down_left` is what remains of a 429's Retry-After. `forced` is the
    state that an operator holds it in.
    """

    name: str
    state: State = State.CLOSED
    epoch: int = 0
    failures_in_a_row: int = 0
    waits: timedelta | None = None
    cool_down_left: timedelta | None = None
    forced: State | None = None
    since: datetime | None = None
    succeeded_at: datetime | None = None
    counted: window.Counted = field(default=window.NOTHING, repr=False)

    @property
    def calls(self) -> int:
        """Those that succeeded or failed within the window."""
        return self.counted.total()[0]

    @property
    def failures(self) -> int:
        return self.counted.total()[1]

    @property
    def excluded(self) -> str | None:
        """Why no call may go, or None where one may: as any call, or as a probe (`needs_probe`)."""
        if self.forced is State.OPEN:
            return "breaker opened by hand"
        if self.cool_down_left:
            return f"rate limited for another {_seconds(self.cool_down_left)} s"
        if not self.waits:
            return None
        if self.state is State.HALF_OPEN:
            return "breaker half-open, its probe is under way"
        return f"breaker open, a probe may go in {_seconds(self.waits)} s"

    @property
    def is_local(self) -> bool:
        """Whether it is this process's own view, while Redis is away."""
        return self.epoch < 0

    @property
    def needs_probe(self) -> bool:
        return self.state is not State.CLOSED

    @property
    def available_in(self) -> timedelta | None:
        """How long until a call may go; None if that is for an operator to say."""
        if self.forced is State.OPEN:
            return None
        return max(self.waits or timedelta(), self.cool_down_left or timedelta())

    def admission(self) -> Admission | None:
        """Leave to call, where the breaker is closed: that takes no round trip."""
        if self.needs_probe or self.cool_down_left:
            return None
        return Admission(self.name, self.epoch)


def milliseconds(span: timedelta) -> int:
    return span // _MILLISECOND


def span(number: int) -> timedelta:
    return number * _MILLISECOND


def instant(number: int) -> datetime:
    """An instant that is given in milliseconds since 1970."""
    return datetime.fromtimestamp(number / 1000, tz=UTC)


def _seconds(left: timedelta) -> int:
    return -(-left // timedelta(seconds=1))
