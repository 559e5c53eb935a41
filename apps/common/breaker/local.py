"""The breakers of one process, for as long as Redis is away."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from apps.common.breaker.machine import Machine, Memory
from apps.common.breaker.rules import Admission, Admitted, Change, Report, Settings, State, Status

Answer = TypeVar("Answer")


class LocalBreakers:
    """They begin as they were last seen in Redis: what was open, held or cooling down there is so here.

    Their epochs are negative, and others each time, so that no admission of theirs is taken for one of
    Redis's or of an earlier absence. A probe of another process is unknown here: each process has one of its
    own.
    """

    def __init__(self, settings: Settings, *, seen: Mapping[str, Memory], now: int) -> None:
        self._settings, self._first_epoch = settings, -now
        self._lock = threading.Lock()
        self._memories = {name: self._begin(memory) for name, memory in seen.items()}

    def statuses(self, names: Iterable[str], *, now: int) -> dict[str, Status]:
        return {name: self._on(name, now, Machine.status)[0] for name in names}

    def admit(self, name: str, *, token: str, lease: timedelta, now: int) -> Admitted:
        return Admitted(*self._on(name, now, lambda each: each.admit(token=token, lease=lease)))

    def record(self, admission: Admission, report: Report, *, now: int) -> list[Change]:
        return self._on(admission.name, now, lambda each: each.record(admission, report))[1]

    def _on(self, name: str, now: int, operation: Callable[[Machine], Answer]) -> tuple[Answer, list[Change]]:
        with self._lock:
            memory = self._memories.setdefault(name, Memory(epoch=self._first_epoch))
            machine = Machine(name, memory, self._settings, now=now)
            return operation(machine), [_alone(change) for change in machine.changes]

    def _begin(self, seen: Memory) -> Memory:
        until = 0 if seen.state == State.HALF_OPEN else seen.until
        return replace(seen, epoch=self._first_epoch, token="", until=until)


def _alone(change: Change) -> Change:
    return replace(change, reason=f"{change.reason} (one process, while Redis is away)")
