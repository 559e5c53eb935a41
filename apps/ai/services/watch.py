"""The deployments' breakers as one question sees them: read when it begins, and with whatever they hear."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from apps.ai.matrix import Counts
from apps.ai.routing import Candidate
from apps.ai.services import configuration
from apps.ai.services.breakers import breakers, note_changes
from apps.ai.services.calls import Times
from apps.common.breaker.rules import Admission, Change, Report, Result, State, Status, Told
from apps.common.shared_redis import Call

# A provider that says “too fast” but not until when is left alone for so long.
COOL_DOWN = timedelta(seconds=1)
# A probe is mostly answered long before its lease ends.
PROBE = timedelta(seconds=5)
# What was read longer ago, before a wait, says nothing of now: it is read anew, in a round trip of its own.
FRESH = timedelta(seconds=1)

_RESULTS = {
    Counts.SUCCESS: Result.SUCCESS,
    Counts.FAILURE: Result.FAILURE,
    Counts.SHORT_TIMEOUT: Result.SHORT_TIMEOUT,
    Counts.NEUTRAL: Result.NEUTRAL,
    Counts.COOL_DOWN: Result.NEUTRAL,
    Counts.ABANDONED: Result.ABANDONED,
}


def read_call(candidates: Iterable[Candidate]) -> Call:
    """To ride along with whatever goes to Redis anyway."""
    return breakers().read_call([str(each.id) for each in candidates])


def soonest(names: Collection[str]) -> timedelta | None:
    """How long until one of these deployments may be called; None if that is for an operator to say."""
    ids = [str(each.id) for each in configuration.current().deployments if each.name in names]
    statuses = breakers().statuses_of(ids).values()
    return min((wait for each in statuses if (wait := _available_in(each)) is not None), default=None)


def _available_in(status: Status) -> timedelta | None:
    is_probed = status.state is State.HALF_OPEN and not status.cool_down_left
    wait = status.available_in
    return min(wait, PROBE) if wait is not None and is_probed else wait


class Watch:
    """What the breakers said, and what they are told."""

    def __init__(self, statuses: Mapping[str, Status]) -> None:
        self._breakers = breakers()
        self._opened: set[UUID] = set()
        self._take(statuses)
        if self._breakers.may_catch_up:
            self._hear(self._breakers.catch_up(statuses))

    @classmethod
    def reading(cls, candidates: Iterable[Candidate], answers: Sequence[Any] | None) -> "Watch":
        """`answers` are those of `read_call`: None where Redis is away."""
        answer = None if answers is None else answers[0]
        return cls(breakers().statuses([str(each.id) for each in candidates], answer))

    @classmethod
    def asking(cls, candidates: Iterable[Candidate]) -> "Watch":
        """Where nothing else goes to Redis: in a round trip of its own."""
        return cls(breakers().statuses_of([str(each.id) for each in candidates]))

    def obstacles(self) -> dict[UUID, str | None]:
        """Why each may not be called at the moment; None where it may."""
        return {UUID(name): status.excluded for name, status in self._statuses.items()}

    def opened(self, candidate: Candidate) -> bool:
        """Whether its breaker has opened while we tried."""
        return candidate.id in self._opened

    def admit(self, candidate: Candidate, *, lease: timedelta) -> Admission | None:
        """Leave to call it once; None if it gives none. No round trip where it was just read as closed."""
        name = str(candidate.id)
        if self._statuses[name].excluded or time.monotonic() - self._read_at > FRESH.total_seconds():
            self._take(self._breakers.statuses_of(self._statuses))
        admitted = self._breakers.admit(self._statuses[name], lease=lease)
        self._note(admitted.changes)
        return admitted.admission

    def record(
        self,
        admission: Admission,
        counts: Counts,
        *,
        times: Times | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        """Tell what became of an attempt; `times`: of its request, if that went out."""
        if counts is Counts.ABANDONED and not admission.probe:
            return
        cool_down = (retry_after or COOL_DOWN) if counts is Counts.COOL_DOWN else None
        report = _report(_RESULTS[counts], times, cool_down)
        self._hear(self._breakers.record_and_read(admission, report, self._statuses))

    def success_call(self, admission: Admission, *, times: Times | None) -> Call:
        """The same of one that was answered, to ride along with the flight's end."""
        return self._breakers.record_call(admission, _report(Result.SUCCESS, times))

    def note_success(
        self, admission: Admission, answers: Sequence[Any] | None, *, times: Times | None
    ) -> None:
        """What `success_call` came to."""
        answer = None if answers is None else answers[0]
        self._note(self._breakers.recorded(admission, _report(Result.SUCCESS, times), answer))

    def _hear(self, told: Told) -> None:
        self._take(told.statuses)
        self._note(told.changes)

    def _take(self, statuses: Mapping[str, Status]) -> None:
        self._statuses, self._read_at = statuses, time.monotonic()

    def _note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            (self._opened.add if change.after is State.OPEN else self._opened.discard)(UUID(change.name))
        if changes:
            note_changes(changes)


def _report(result: Result, times: Times | None, cool_down: timedelta | None = None) -> Report:
    now = time.monotonic()
    began, ended = (times.began, times.ended) if times else (now, now)
    return Report(
        result,
        started_ago=timedelta(seconds=now - began),
        ended_ago=timedelta(seconds=now - ended),
        cool_down=cool_down,
    )
