"""Breakers that processes share in Redis, and each has for itself while Redis is away."""

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
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
    instant,
    milliseconds,
)
from apps.common.shared_redis import Call, RedisAwayError, Script, SharedRedis

log = structlog.get_logger(__name__)

_SCRIPT = Script((Path(__file__).parent / "breaker.lua").read_bytes())
# The values that make a change in the script's answer.
_CHANGE = 6
# For so long the process decides for itself once Redis has refused a script, and after so long without a
# refusal another one is news.
_REFUSED_MS, _NEWS_MS = 10_000, 60_000

Fields = Sequence[bytes | None]


class Breakers:
    """The breakers of a group of services, by name. Threads may share it.

    Who goes to Redis anyway puts `read_call` and `record_call` into that round trip, and has the answers read
    by `statuses` and `changes`; where these or the round trip raise RedisAwayError, `local_statuses` and
    `record_locally` are next. The other methods make a round trip of their own, and do all of this by
    themselves.

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
        self._refused_at = -_NEWS_MS

    def read_call(self, names: Iterable[str]) -> Call:
        return Call(_SCRIPT, [self._prefix + name for name in names], ["read", self._now_word()])

    def statuses(self, answer: Any) -> dict[str, Status]:
        """What `read_call` came to. Raises RedisAwayError where the script failed."""
        now, *found = self._checked(answer)
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

    def changes(self, answer: Any) -> list[Change]:
        """What `record_call` changed. Raises RedisAwayError where the script failed."""
        return self._changes(self._checked(answer))

    def local_statuses(self, names: Iterable[str]) -> dict[str, Status]:
        """As this process alone sees them, while Redis is away."""
        now = self._local_now()
        return self._locally(now).statuses(names, now=now)

    def record_locally(self, admission: Admission, report: Report) -> list[Change]:
        now = self._local_now()
        return self._locally(now).record(admission, report, now=now)

    def statuses_of(self, names: Iterable[str]) -> dict[str, Status]:
        wanted = list(names)
        try:
            return self.statuses(self._run(self.read_call(wanted)))
        except RedisAwayError:
            return self.local_statuses(wanted)

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
            answer = self._run(self._call("admit", name, token, milliseconds(lease)))
            *_, may, epoch, probe = self._checked(answer)
        except RedisAwayError:
            now = self._local_now()
            return self._locally(now).admit(name, token=token, lease=lease, now=now)
        given = Admission(name, epoch, bool(probe), token if probe else "") if may else None
        return Admitted(given, self._changes(answer))

    def record(self, admission: Admission, report: Report) -> list[Change]:
        """Tell what became of a call that was admitted."""
        try:
            return self.changes(self._run(self.record_call(admission, report)))
        except RedisAwayError:
            return self.record_locally(admission, report)

    def force(self, name: str, state: State | None) -> list[Change]:
        """Hold a breaker open or closed, or give it back to itself (None). No change: it was so already.

        Raises RedisAwayError: one process can't do so for all.
        """
        (answer,) = self._shared.run(self._call("force", name, state.value if state else ""))
        return self._changes(self._accepted(answer))

    def _call(self, operation: str, name: str, *words: str | int) -> Call:
        return Call(_SCRIPT, [self._prefix + name], [operation, self._now_word(), *self._words, *words])

    def _run(self, call: Call) -> Any:
        self._pause()
        return self._shared.run(call)[0]

    def _checked(self, answer: Any) -> Any:
        self._accepted(answer)
        self._pause()
        self._local = None
        return answer

    def _accepted(self, answer: Any) -> Any:
        if isinstance(answer, redis.ResponseError):
            self._refuse(answer)
            raise RedisAwayError(str(answer)) from answer
        return answer

    def _pause(self) -> None:
        if self._refused_at > 0 and self._local_now() - self._refused_at < _REFUSED_MS:
            raise RedisAwayError("it refused a moment ago")

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
