"""Breakers that processes share in Redis, and each has for itself while Redis is away."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis
import structlog

from apps.common.breaker.local import LocalBreakers
from apps.common.breaker.machine import LONGEST_COOL_DOWN, Machine, Memory, describe
from apps.common.breaker.rules import (
    Admission,
    Admitted,
    Change,
    Report,
    Settings,
    State,
    Status,
    Told,
    instant,
    milliseconds,
    span,
)
from apps.common.shared_redis import Call, RedisAwayError, Script, SharedRedis

log = structlog.get_logger(__name__)

_SCRIPT = Script((Path(__file__).parent / "breaker.lua").read_bytes())
# The values that make a change in the script's answer.
_CHANGE = 6
# For so long after a refusal Redis is given no write, and after so long without one another is news.
_REFUSED_MS, _NEWS_MS = 10_000, 60_000

Fields = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class _Untold:
    """What a probe came to, and when that was to be told, by this process's clock."""

    admission: Admission
    report: Report
    since: int

    def told_at(self, now: int) -> Report:
        late, report = span(max(now - self.since, 0)), self.report
        return replace(report, started_ago=report.started_ago + late, ended_ago=report.ended_ago + late)


class Breakers:
    """The breakers of a group of services, by name. Threads may share it.

    Who goes to Redis anyway puts `read_call` and `record_call` into that round trip, and has the answers read
    by `statuses` and `recorded`. The other methods make a round trip of their own.

    Once Redis has failed this process, by its absence or by refusing a write (it has no memory left, or only
    reads), the process decides for itself, until Redis has taken a write of its again. That it reads means
    nothing: what it then says is from before, and what is found out meanwhile isn't told to it. But what a
    probe came to is: a breaker is waiting for that. `catch_up` tells it, for whoever reads anyway; if nobody
    does before the probe's lease ends, it is lost, and machine.py says what then.

    What a method returns as changes is for the caller to keep: nothing else remembers them.

    `clock` gives milliseconds since 1970; without one it is Redis's own, and this process's while Redis is
    away.
    """

    def __init__(
        self,
        shared: SharedRedis,
        *,
        prefix: str,
        settings: Settings | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._shared, self._prefix, self._clock = shared, f"{prefix}:", clock
        self._settings = each = settings or Settings()
        self._words = (
            *(each.opens_after, each.share, each.least_calls),
            *map(milliseconds, (each.window, each.recovery, each.recovery_at_most)),
            each.closes_after,
        )
        self._lock = threading.Lock()
        self._local: LocalBreakers | None = None
        self._seen: dict[str, Fields] = {}
        self._untold: dict[str, _Untold] = {}
        self._refused_at = -_NEWS_MS

    def read_call(self, names: Iterable[str]) -> Call:
        words = ["read", self._now_word()]
        if self._local is not None and not self._is_refused:
            words.append("writing")
        return Call(_SCRIPT, [self._prefix + name for name in names], words)

    def statuses(self, names: Iterable[str], answer: Any) -> dict[str, Status]:
        """What `read_call` of these came to; without an answer, or a use of it, as this process sees them."""
        try:
            now, has_written, *found = self._accepted(answer)
            self._trust(has_written)
        except RedisAwayError:
            now = self._local_now()
            return self._locally(now).statuses(names, now=now)
        return {
            (name := self._name(key)): self._status(name, fields, now)
            for key, fields in zip(found[::2], found[1::2], strict=True)
        }

    def record_call(self, admission: Admission, report: Report) -> Call:
        """Tell what became of a call that was admitted."""
        cool_down = report.cool_down
        return self._call(
            "record",
            admission.name,
            *(admission.epoch, admission.token, report.result.value),
            *(milliseconds(report.started_ago), milliseconds(report.ended_ago)),
            -1 if cool_down is None else milliseconds(min(cool_down, LONGEST_COOL_DOWN)),
        )

    def recorded(self, admission: Admission, report: Report, answer: Any) -> list[Change]:
        """What `record_call` of these came to, also where it has no answer."""
        if admission.is_local:
            return self._record_locally(admission, report)
        try:
            return self._changes(self._accepted(answer))
        except RedisAwayError:
            now = self._local_now()
            self._locally(now)
            if admission.probe:
                with self._lock:
                    self._untold[admission.name] = _Untold(admission, report, now)
            return []

    @property
    def may_catch_up(self) -> bool:
        """Whether there is something that Redis couldn't be told at the time, and can be now."""
        return bool(self._untold) and self._local is None

    def catch_up(self, names: Iterable[str]) -> Told:
        """Tell what probes have come to, and read these after it, in one round trip."""
        wanted, now = list(names), self._local_now()
        with self._lock:
            untold, self._untold = list(self._untold.values()), {}
        calls = [self.record_call(each.admission, each.told_at(now)) for each in untold]
        *recorded, read = self._run(*calls, self.read_call(wanted))
        changes = [
            change
            for each, answer in zip(untold, recorded, strict=True)
            for change in self.recorded(each.admission, each.told_at(now), answer)
        ]
        return Told(changes, self.statuses(wanted, read))

    def statuses_of(self, names: Iterable[str]) -> dict[str, Status]:
        wanted = list(names)
        (answer,) = self._run(self.read_call(wanted))
        return self.statuses(wanted, answer)

    def admit(self, status: Status, *, lease: timedelta) -> Admitted:
        """Leave to call now, if there is any: without a round trip where the breaker was read as closed, else
        as its probe. The lease has to be longer than the attempt can take.
        """
        if status.excluded:
            return Admitted(None)
        if admission := status.admission():
            return Admitted(admission)
        name, token = status.name, secrets.token_hex(8)
        try:
            if self._local is not None:
                raise RedisAwayError("it has taken no write since it failed")
            (answer,) = self._run(self._call("admit", name, token, milliseconds(lease)))
            self._accepted(answer)
        except RedisAwayError:
            now = self._local_now()
            return self._locally(now).admit(name, token=token, lease=lease, now=now)
        *_, may, epoch, probe = answer
        given = Admission(name, epoch, bool(probe), token if probe else "") if may else None
        return Admitted(given, self._changes(answer))

    def record(self, admission: Admission, report: Report) -> list[Change]:
        """Tell what became of a call that was admitted."""
        if admission.is_local:
            return self._record_locally(admission, report)
        (answer,) = self._run(self.record_call(admission, report))
        return self.recorded(admission, report, answer)

    def record_and_read(self, admission: Admission, report: Report, names: Iterable[str]) -> Told:
        """The same, and how these are after it, in one round trip."""
        wanted = list(names)
        recorded, read = self._run(self.record_call(admission, report), self.read_call(wanted))
        return Told(self.recorded(admission, report, recorded), self.statuses(wanted, read))

    def force(self, name: str, state: State | None) -> list[Change]:
        """Hold a breaker open or closed, or give it back to itself (None). No change: it was so already.

        Raises RedisAwayError: one process can't do so for all.
        """
        (answer,) = self._shared.run(self._call("force", name, state.value if state else ""))
        return self._changes(self._accepted(answer))

    def forget(self, names: Iterable[str]) -> None:
        """Of services that are no more: one that is held would be kept for ever. Raises RedisAwayError."""
        keys = [self._prefix + name for name in names]
        if keys:
            (answer,) = self._shared.run(Call(_SCRIPT, keys, ["forget", self._now_word()]))
            self._accepted(answer)

    def _call(self, operation: str, name: str, *words: str | int) -> Call:
        return Call(_SCRIPT, [self._prefix + name], [operation, self._now_word(), *self._words, *words])

    def _run(self, *calls: Call) -> list[Any]:
        """The script's answers, in one round trip; None where it wasn't asked, or gave none."""
        if not self._is_refused:
            with suppress(RedisAwayError):
                return self._shared.run(*calls)
        return [None] * len(calls)

    def _accepted(self, answer: Any) -> Any:
        if isinstance(answer, redis.ResponseError):
            self._refuse(answer)
            raise RedisAwayError(str(answer)) from answer
        if answer is None:
            raise RedisAwayError("it gave no answer")
        return answer

    def _trust(self, has_written: bool) -> None:
        """Raises RedisAwayError while this process decides for itself."""
        if self._local is None:
            return
        if self._is_refused or not has_written:
            raise RedisAwayError("it has taken no write since it failed")
        self._local = None

    @property
    def _is_refused(self) -> bool:
        return self._refused_at > 0 and self._local_now() - self._refused_at < _REFUSED_MS

    def _refuse(self, error: Exception) -> None:
        """Such as a Redis without memory left, which still reads, but takes no results."""
        now = self._local_now()
        if now - self._refused_at > _NEWS_MS:
            log.warning("breaker.redis_refuses", error=str(error))
        self._refused_at = now

    def _status(self, name: str, fields: Fields, now: int) -> Status:
        self._seen[name] = fields
        return Machine(name, Memory.of(fields), self._settings, now=now).status()

    def _changes(self, answer: Any) -> list[Change]:
        key, fields, values = answer[:3]
        name = self._name(key)
        if fields:
            self._seen[name] = fields
        return [
            self._change(name, *values[place : place + _CHANGE]) for place in range(0, len(values), _CHANGE)
        ]

    def _change(
        self, name: str, before: bytes, after: bytes, code: bytes, some: int, others: int, at: int
    ) -> Change:
        reason = describe(code.decode(), (some, others), self._settings)
        return Change(name, State(before.decode()), State(after.decode()), reason, instant(at))

    def _record_locally(self, admission: Admission, report: Report) -> list[Change]:
        local, now = self._local, self._local_now()
        return local.record(admission, report, now=now) if local else []

    def _locally(self, now: int) -> LocalBreakers:
        with self._lock:
            if (local := self._local) is None:
                seen = {name: Memory.of(fields) for name, fields in self._seen.copy().items()}
                local = self._local = LocalBreakers(self._settings, seen=seen, now=now)
            return local

    def _name(self, key: bytes) -> str:
        return key.decode().removeprefix(self._prefix)

    def _now_word(self) -> str:
        return str(self._clock()) if self._clock else ""

    def _local_now(self) -> int:
        return self._clock() if self._clock else time.time_ns() // 1_000_000
