import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from huntaze.stack import Stack
from tests.live import Api, Platform, live_stack, new_agency
from tests.resilience.hosts import Site
from tests.resilience.rampage import Rampage
from tests.services import HOME

# A call of a provider is given up soon, so that one whose worker died counts as abandoned soon.
ENVIRONMENT = {"HUNTAZE_AI_ATTEMPT_TIMEOUT": "6", "HUNTAZE_SWEEP_SECONDS": "2"}


Ravage = Callable[..., Rampage]


class Machine:
    """What a stack runs on: processes can be killed on it, or all at once, and it can be booted again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = ExitStack()
        self.boot()

    def boot(self) -> None:
        self._running = ExitStack()
        self.stack: Stack = self._running.enter_context(live_stack(self._home, environment=ENVIRONMENT))

    def kill(self, name: str) -> None:
        """kill -9, nothing else: who starts it again is the process manager."""
        os.kill(self.pid_of(name), signal.SIGKILL)

    def pid_of(self, name: str) -> int:
        pid = self.stack.pid_of(name)
        assert pid, f"{name} isn't running"
        return pid

    def lose_power(self) -> None:
        """kill -9 of the process manager and everything below it, at one instant."""
        manager = psutil.Process(self.stack.supervisor.pid)
        doomed = [manager, *manager.children(recursive=True)]
        # Stopped first, so that none of them sees another one die.
        for process in doomed:
            process.suspend()
        for process in doomed:
            process.kill()
        self._running.close()

    def shut_down(self) -> None:
        self._running.close()

    @property
    def platform(self) -> Platform:
        return Platform(self.stack.gateway_url)

    @property
    def ai(self) -> Platform:
        """Only for its faults."""
        return Platform(self.stack.ai_url)


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    machine = Machine(HOME / "resilience")
    yield machine
    machine.shut_down()


@pytest.fixture(scope="package")
def ada(machine: Machine) -> Api:
    return new_agency(machine.stack)


@pytest.fixture(autouse=True)
def no_faults(request: pytest.FixtureRequest) -> Iterator[None]:
    """None are left behind by tests on the machine."""
    machine: Machine | None = (
        request.getfixturevalue("machine") if "machine" in request.fixturenames else None
    )
    yield
    if machine:
        machine.platform.heal()
        machine.ai.heal()


@pytest.fixture
def ravage() -> Iterator[Ravage]:
    """Begins a rampage on a site; HUNTAZE_CHAOS_SEED repeats one."""
    seed = int(os.environ.get("HUNTAZE_CHAOS_SEED") or secrets.randbelow(10**6))
    begun: list[Rampage] = []

    def ravage(site: Site, **options: Any) -> Rampage:
        begun.append(Rampage(site, seed=seed, **options))
        return begun[-1]

    yield ravage
    for rampage in begun:
        rampage.site.heal()
