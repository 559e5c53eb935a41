"""What the limiter decides about: rules, logs, visits. Pure; times are whole microseconds.

The rule is an exact sliding log. A stamp is the latest instant at which a granted request can arrive.
Suppose that N + 1 requests arrive in one half-open window of length W, the last-granted of them at some
moment g before the window's end. The other N arrived later than g less W, so at g their stamps were younger
than W and all N counted: it wasn't granted. No window ever holds more than N.

The same rule stands in three places, which agree on every trace: limiter.lua decides in production, sql.py
while Redis is away, memory.py in tests and simulations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

CLOCK_MARGIN_US = 250_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(span: timedelta) -> int:
    return span // _MICROSECOND


def to_stamp(when: datetime) -> int:
    """An instant as microseconds since 1970, exact where a float would round."""
    return (when - _EPOCH) // _MICROSECOND


def from_stamp(stamp: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stamp)


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `count` stamps younger than `window` microseconds, which the clocks' margin has lengthened."""

    count: int
    window: int


def rule(count: int, *, seconds: float) -> Rule:
    """A limit as a rule: its window grows by what two clocks may differ, 250 ms but at most 1 % of it."""
    promised = round(seconds * 1_000_000)
    return Rule(count=count, window=promised + min(CLOCK_MARGIN_US, promised // 100))


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` arrivals in any half-open window of `seconds`, and none closer than `min_gap_ms`."""

    count: int
    seconds: float
    min_gap_ms: int = 0

    @property
    def rules(self) -> tuple[Rule, ...]:
        return _rules(self.count, self.seconds, self.min_gap_ms)

    @property
    def window(self) -> int:
        """How far back it looks, in microseconds."""
        return max(each.window for each in self.rules)


@lru_cache(maxsize=10_000)
def _rules(count: int, seconds: float, min_gap_ms: int) -> tuple[Rule, ...]:
    most = rule(count, seconds=seconds)
    # A gap is a limit of one.
    return (most, rule(1, seconds=min_gap_ms / 1000)) if min_gap_ms else (most,)


@dataclass(frozen=True, slots=True)
class Log:
    """A subject's stamps, and the rules that hold for them. `subject_id` is None for the global layer."""

    layer: str
    subject_id: UUID | None
    rules: tuple[Rule, ...]

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.subject_id.hex if self.subject_id else ''}"

    @property
    def needs(self) -> int:
        """How far back it has to be known to be complete; a recipient's is vouched for by its account's."""
        return 0 if self.layer == "recipient" else self.window

    @property
    def window(self) -> int:
        return _window(self.rules)


@lru_cache(maxsize=10_000)
def _window(rules: tuple[Rule, ...]) -> int:
    return max((each.window for each in rules), default=0)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that would like a slot of its next attempt; `own` are its logs besides those of the visit."""

    message_id: UUID
    attempt: int
    own: tuple[Log, ...] = ()

    @property
    def member(self) -> str:
        return member(self.message_id, self.attempt)


def member(message_id: UUID, attempt: int) -> str:
    """What an attempt's stamp is called in its logs."""
    return f"{message_id.hex}{attempt}"


@dataclass(frozen=True, slots=True)
class Visit:
    """One account's candidates, in order, and the logs that all of them share; the account's is the last.

    `claims`: how many claims the rows know to have granted the account something. A log in Redis that knows
    of another one has stamps of a claim that died before it committed.
    """

    account_id: UUID
    shared: tuple[Log, ...]
    candidates: Sequence[Candidate]
    claims: int = 0

    @property
    def common_logs(self) -> set[Log]:
        """Those that other accounts' visits ask as well."""
        own = {log for each in self.candidates for log in each.own if log.needs}
        return {*self.shared[:-1], *own}

    @property
    def horizon(self) -> int:
        """How far back the account's log has to reach: it vouches for its recipients' logs too."""
        recipients = {log.rules for each in self.candidates for log in each.own if log.layer == "recipient"}
        return max(_window(rules) for rules in (self.shared[-1].rules, *recipients))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A log that has no slot, and for how many microseconds."""

    log: Log
    wait: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a visit was given.

    `granted` and `refused` name positions of candidates: a refused one was turned down by a log of its own
    and passed over. Those in neither found the shared logs exhausted, of which `waits` are afterwards.
    """

    granted: tuple[int, ...]
    refused: dict[int, Refusal]
    waits: tuple[int, ...]

    def exhausted(self, visit: Visit) -> Refusal | None:
        """The shared log above the account that has no slot left for longest, if there is one."""
        spent = [Refusal(log, wait) for log, wait in zip(visit.shared[:-1], self.waits, strict=False) if wait]
        return max(spent, key=lambda each: each.wait, default=None)

    @property
    def account_wait(self) -> int:
        return self.waits[-1]


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over: `age` microseconds ago, or None if it never began, and the logs it is in."""

    message_id: UUID
    attempt: int
    age: int | None
    logs: tuple[Log, ...]


class MissingLogsError(Exception):
    """Logs that several accounts share aren't there, or don't reach far enough; they have to be loaded."""

    def __init__(self, logs: Iterable[Log]) -> None:
        super().__init__("logs of the limiter have to be loaded")
        self.logs = tuple(logs)


class StaleEpochError(Exception):
    """Redis keeps another epoch, or none: what its logs say can't be relied on."""


class LimiterUnavailableError(Exception):
    """The limiter's logs can't be reached; nothing may be granted."""
