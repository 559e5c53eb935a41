"""A breaker in Redis and the same in Python, told the same. What they answer and remember has to agree."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import redis

from apps.common.breaker.breakers import Breakers
from apps.common.breaker.machine import Machine, Memory
from apps.common.breaker.rules import Admission, Admitted, Change, Report, Result, Settings, State, Status
from apps.common.ids import uuid7
from apps.common.shared_redis import SharedRedis

NAME = "service"
START = 1_700_000_000_000
# A status that makes the script decide, whatever it was that was read.
DUE = Status(NAME, State.OPEN)
LEASE = timedelta(seconds=10)
Answer = TypeVar("Answer")


@cache
def shared_redis() -> SharedRedis:
    return SharedRedis(os.environ["REDIS_URL"])


@cache
def client() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@dataclass
class Twins:
    settings: Settings = field(default_factory=Settings)
    now: int = START
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        self.prefix = f"test:breaker:{uuid7()}"
        self.shared = Breakers(
            shared_redis(), prefix=self.prefix, settings=self.settings, clock=lambda: self.now
        )

    @property
    def key(self) -> str:
        return f"{self.prefix}:{NAME}"

    @property
    def status(self) -> Status:
        found = self.shared.statuses_of([NAME])[NAME]
        assert found == Machine(NAME, replace(self.memory), self.settings, now=self.now).status()
        return found

    @property
    def state(self) -> State:
        return self.status.state

    def wait(self, number: float) -> None:
        self.now += round(number * 1000)

    def admit(self, lease: timedelta = LEASE) -> Admitted:
        admitted = self.shared.admit(DUE, lease=lease)
        token = admitted.admission.token if admitted.admission else "refused"
        expected, changes = self._python(lambda twin: twin.admit(token=token, lease=lease))
        assert admitted == Admitted(expected, changes)
        self._compare()
        return admitted

    def admission(self, lease: timedelta = LEASE) -> Admission:
        """Of a call that has to be let through."""
        given = self.admit(lease).admission
        assert given is not None
        return given

    def record(self, admission: Admission, report: Report | Result) -> list[Change]:
        if isinstance(report, Result):
            report = Report(report)
        told = report
        changes = self.shared.record(admission, told)
        assert changes == self._python(lambda twin: twin.record(admission, told))[1]
        self._compare()
        return changes

    def call(self, report: Report | Result) -> list[Change]:
        """A call, begun and told of at once; what all of it changed."""
        admitted = self.admit()
        assert admitted.admission is not None
        return admitted.changes + self.record(admitted.admission, report)

    def calls(self, number: int, report: Report | Result) -> None:
        for _ in range(number):
            self.call(report)

    def force(self, state: State | None) -> list[Change]:
        changes = self.shared.force(NAME, state)
        assert changes == self._python(lambda twin: twin.force(state))[1]
        self._compare()
        return changes

    def kept(self) -> Memory:
        names = [each.name for each in fields(Memory)]
        values: Any = client().hmget(self.key, names)
        return Memory.of(values)

    def _python(self, operation: Callable[[Machine], Answer]) -> tuple[Answer, list[Change]]:
        twin = Machine(NAME, self.memory, self.settings, now=self.now)
        return operation(twin), twin.changes

    def _compare(self) -> None:
        assert self.kept() == self.memory


def opened(twins: Twins) -> Twins:
    """After as many failures as it takes."""
    twins.calls(twins.settings.opens_after, Result.FAILURE)
    assert twins.state is State.OPEN
    return twins


def due(twins: Twins) -> Twins:
    """Open, and its recovery over."""
    opened(twins).wait(twins.settings.recovery.total_seconds())
    return twins
