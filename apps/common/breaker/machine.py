"""How a breaker changes, in Python: it decides within a process while Redis is away. breaker.lua says the
same of what processes share; tests compare both, step by step.

| state | on | becomes |
|---|---|---|
| closed | failures in a row, or their share within the window | open, for the recovery |
| open | a call that wants to go after the recovery | half-open; that call is the probe |
| half-open | a probe is answered | closed, after so many in a row |
| half-open | a probe fails | open, for twice as long as before |
| half-open | a probe's lease ends, and nothing was heard | open, for twice as long, from that end on |
| any | an operator's word | held open or closed, until back to automatic |

One probe is out at a time: whoever has the lease, whose token it is. A lease is longer than an attempt, so it
ends only if its holder died or couldn't tell. If a probe was answered since the breaker became half-open, the
service lives, so the holder's end is taken for its own: the next call is the next probe. If nothing was
heard, nobody knows whether the holder or the service is to blame; taking it for a failed probe costs a
recovery, taking it for nothing might let every call in turn hang on a service that kills them.

Every change of state raises the epoch. A result that carries another one is ignored, and so is a probe's
whose lease has ended or was given to another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Self

from apps.common.breaker.rules import (
    Admission,
    Change,
    Report,
    Result,
    Settings,
    State,
    Status,
    instant,
    milliseconds,
    span,
)
from apps.common.breaker.window import Counted

# An absurd Retry-After ends some day.
LONGEST_COOL_DOWN = timedelta(days=1)


@dataclass(slots=True)
class Memory:
    """What is kept of one service. Instants and spans are milliseconds, 0 where there is none.

    `run` counts failures in a row while closed, answered probes in a row while half-open. `until` is when a
    probe may go while open, and when the lease of the one that is out ends while half-open.
    """

    state: str = State.CLOSED.value
    epoch: int = 0
    since: int = 0
    run: int = 0
    recovery: int = 0
    until: int = 0
    token: str = ""
    answered: int = 0
    succeeded: int = 0
    cool: int = 0
    forced: str = ""
    window: str = ""

    @classmethod
    def of(cls, kept: Sequence[bytes | None]) -> Self:
        """From the values of its fields, in their order, as Redis gives them."""
        memory = cls()
        for (name, default), value in zip(_DEFAULTS, kept, strict=True):
            if value is not None:
                setattr(memory, name, int(value) if isinstance(default, int) else value.decode())
        return memory


_DEFAULTS = [(each.name, each.default) for each in fields(Memory)]


def describe(code: str, figures: tuple[int, int], settings: Settings) -> str:
    """Why a breaker changed, in words."""
    some, others = figures
    return {
        "run": f"{some} failures in a row",
        "share": f"{some} of {others} calls failed within {settings.window.total_seconds():g} s",
        "due": "the recovery is over: a probe goes",
        "answered": f"{some} probes in a row were answered",
        "failed": "the probe failed",
        "lost": "the probe's lease ended, and nothing was heard",
        "opened": "opened by hand",
        "closed": "closed by hand",
        "released": "back to automatic",
    }[code]


class Machine:
    """A breaker at an instant. Its `memory` changes, and `changes` says how."""

    def __init__(self, name: str, memory: Memory, settings: Settings, *, now: int) -> None:
        self.name, self.memory, self.settings, self.now = name, memory, settings, now
        self.changes: list[Change] = []
        self._lapse()

    def status(self) -> Status:
        memory = self.memory
        state, forced = State(memory.state), State(memory.forced) if memory.forced else None
        waits = None
        if not forced and state is not State.CLOSED:
            waits = span(max(memory.until - self.now, 0))
        return Status(
            name=self.name,
            state=state,
            epoch=memory.epoch,
            failures_in_a_row=memory.run if state is State.CLOSED else 0,
            waits=waits,
            cool_down_left=span(memory.cool - self.now) if memory.cool > self.now else None,
            forced=forced,
            since=instant(memory.since) if memory.since else None,
            succeeded_at=instant(memory.succeeded) if memory.succeeded else None,
            counted=self._counted,
        )

    def admit(self, *, token: str, lease: timedelta) -> Admission | None:
        """Leave to call now; where the breaker needs a probe, as that, with this token and lease."""
        memory = self.memory
        if memory.cool > self.now or memory.forced == State.OPEN:
            return None
        if memory.state == State.CLOSED:
            return Admission(self.name, memory.epoch)
        if memory.state == State.OPEN:
            if memory.until > self.now:
                return None
            self._become(State.HALF_OPEN, "due", at=self.now)
        elif memory.token:
            return None
        memory.token, memory.until = token, self.now + milliseconds(lease)
        return Admission(self.name, memory.epoch, probe=True, token=token)

    def record(self, admission: Admission, report: Report) -> None:
        """Take in what became of a call."""
        memory = self.memory
        if admission.epoch != memory.epoch or memory.state == State.OPEN:
            return
        if memory.state == State.HALF_OPEN:
            if not memory.token or admission.token != memory.token:
                return
            memory.token, memory.until = "", 0
        ended = self.now - milliseconds(report.ended_ago)
        if report.cool_down is not None:
            lasts = milliseconds(min(report.cool_down, LONGEST_COOL_DOWN))
            memory.cool = max(memory.cool, ended + lasts)
        if report.result in (Result.SUCCESS, Result.NEUTRAL):
            self._answer(ended, succeeded=report.result == Result.SUCCESS)
        elif report.result == Result.FAILURE or (
            report.result == Result.SHORT_TIMEOUT and not self._answered_since(report.started_ago, ended)
        ):
            self._fail()

    def force(self, state: State | None) -> None:
        """Hold it open or closed, or give it back to itself: then it counts from zero if it was held closed,
        and the next call is a probe if it was held open. A cool-down ends, too.
        """
        held = self.memory.forced
        if held == (state or ""):
            return
        if state is None:
            after = State.HALF_OPEN if held == State.OPEN else State.CLOSED
            self._become(after, "released", at=self.now)
        else:
            self._become(state, "opened" if state is State.OPEN else "closed", at=self.now)
        self.memory.forced = state.value if state else ""
        self.memory.recovery = self.memory.cool = 0

    def _lapse(self) -> None:
        """A lease that has ended ended then, whoever looks."""
        memory = self.memory
        if memory.state != State.HALF_OPEN or not memory.token or memory.until > self.now:
            return
        if memory.answered >= memory.since:
            memory.token, memory.until = "", 0
        else:
            self._open("lost", at=memory.until)

    def _answer(self, ended: int, *, succeeded: bool) -> None:
        memory = self.memory
        memory.answered = max(memory.answered, ended)
        memory.window = self._counted.add(failed=False if succeeded else None, answered=ended)
        if not succeeded:
            return
        memory.succeeded = max(memory.succeeded, ended)
        if memory.state == State.CLOSED:
            memory.run = 0
            return
        memory.run += 1
        if memory.run >= self.settings.closes_after:
            self._become(State.CLOSED, "answered", (memory.run, 0), at=self.now)
            memory.recovery = 0

    def _fail(self) -> None:
        memory, settings = self.memory, self.settings
        if memory.state == State.HALF_OPEN:
            self._open("failed", at=self.now)
            return
        memory.run += 1
        memory.window = self._counted.add(failed=True, answered=None)
        if memory.forced:
            return
        calls, failures = self._counted.total()
        if memory.run >= settings.opens_after:
            self._open("run", (memory.run, 0), at=self.now)
        elif calls >= settings.least_calls and failures >= settings.share * calls:
            self._open("share", (failures, calls), at=self.now)

    def _open(self, code: str, figures: tuple[int, int] = (0, 0), *, at: int) -> None:
        first, most = milliseconds(self.settings.recovery), milliseconds(self.settings.recovery_at_most)
        self._become(State.OPEN, code, figures, at=at)
        self.memory.recovery = max(first, min(2 * self.memory.recovery, most))
        self.memory.until = at + self.memory.recovery

    def _become(self, after: State, code: str, figures: tuple[int, int] = (0, 0), *, at: int) -> None:
        memory = self.memory
        reason = describe(code, figures, self.settings)
        self.changes.append(Change(self.name, State(memory.state), after, reason, instant(at)))
        memory.state, memory.epoch, memory.since = after.value, memory.epoch + 1, at
        memory.run, memory.until, memory.token, memory.window = 0, 0, "", ""

    def _answered_since(self, started_ago: timedelta, ended: int) -> bool:
        start, last = self.now - milliseconds(started_ago), self.memory.answered
        if last <= ended:
            return last >= start
        return self._counted.answered_between(start, ended)

    @property
    def _counted(self) -> Counted:
        return Counted(self.memory.window, milliseconds(self.settings.window), self.now)
