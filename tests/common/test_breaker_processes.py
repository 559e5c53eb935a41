"""One breaker, and several processes that call through it as fast as they can."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.common.breaker.breakers import Breakers
from apps.common.breaker.rules import State, Status
from apps.common.ids import uuid7
from huntaze.places import CLONE
from tests.common.breaker_caller import SERVICE, SETTINGS
from tests.common.breaker_twins import client, shared_redis
from tests.waiting import wait_until

CALLERS = 4


class Scene:
    """The callers, and what they have written down."""

    def __init__(self) -> None:
        self.prefix = f"test:breaker:{uuid7()}"
        self.breakers = Breakers(shared_redis(), prefix=self.prefix, settings=SETTINGS)
        self.processes: list[subprocess.Popen[bytes]] = []

    def number(self, what: str) -> int:
        return int(client().get(f"{self.prefix}:{what}") or 0)

    def set(self, what: str) -> None:
        client().set(f"{self.prefix}:{what}", 1)

    @property
    def status(self) -> Status:
        return self.breakers.statuses_of([SERVICE])[SERVICE]

    @property
    def changes(self) -> Counter[str]:
        told: Any = client().lrange(f"{self.prefix}:changes", 0, -1)
        return Counter(each.decode() for each in told)

    def wait_until_closed(self) -> None:
        wait_until(lambda: self.status.state is State.CLOSED, seconds=60, what="the breaker to close")

    def stop(self) -> list[int]:
        """How the callers ended."""
        self.set("stop")
        return sorted(each.wait(timeout=30) for each in self.processes)


@contextmanager
def callers(*, lease: str) -> Iterator[Scene]:
    scene = Scene()
    for _ in range(CALLERS):
        command = [sys.executable, "-m", "tests.common.breaker_caller", scene.prefix, lease]
        scene.processes.append(subprocess.Popen(command, cwd=CLONE))
    try:
        yield scene
    finally:
        for each in scene.processes:
            each.kill()
            each.wait()


def test_of_all_processes_one_probes_at_a_time_and_then_all_call_again() -> None:
    with callers(lease="60") as scene:
        wait_until(lambda: scene.number("probes") >= 8, seconds=60, what="eight probes")
        assert scene.status.state is not State.CLOSED
        calls = scene.number("calls")
        # All of them were let through before it opened the first time.
        assert calls <= SETTINGS.opens_after + CALLERS
        scene.set("works")
        scene.wait_until_closed()
        wait_until(lambda: scene.number("calls") > calls + 50, seconds=60, what="calls")
        assert scene.stop() == [0] * CALLERS
        assert client().smembers(f"{scene.prefix}:out at once") == {b"1"}
        changes = scene.changes
        assert changes["closed>open"] == changes["half_open>closed"] == 1
        assert changes["open>half_open"] == changes["half_open>open"] + 1 >= 9
        assert scene.status.epoch == changes.total()


def test_probes_whose_holders_die_keep_nobody_from_the_next() -> None:
    with callers(lease="0.5") as scene:
        client().sadd(f"{scene.prefix}:deaths", "first", "second")
        wait_until(lambda: not client().exists(f"{scene.prefix}:deaths"), seconds=60, what="two dead holders")
        scene.set("works")
        scene.wait_until_closed()
        assert scene.stop() == [0] * (CALLERS - 2) + [9] * 2
        assert scene.changes["half_open>closed"] == 1
