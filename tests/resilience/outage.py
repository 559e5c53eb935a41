"""A tenant's processes, and an OpenAI of their own that dies while they ask it, and comes back."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from apps.ai.services.breakers import PREFIX
from apps.common.breaker.breakers import Breakers
from apps.common.breaker.rules import Settings, State, Status
from apps.common.shared_redis import SharedRedis
from apps.tenants.models import Tenant
from huntaze.places import CLONE
from tests.conftest import Sandbox
from tests.http_client import http
from tests.sandbox.processes import Server
from tests.unmeasured import unmeasured
from tests.waiting import TooLateError, wait_until

# Questions a second.
RATES = {"web": "3", "worker": "2"}


class OpenAI:
    """A stand-in that dies in one way: `down` (503), `hanging`, or `refusing` (no process)."""

    def __init__(self, way: str) -> None:
        self._way, self._server = way, Server("ai", "--port", "0")
        self.url = self._server.url

    def die(self) -> None:
        if self._way == "refusing":
            self._server.stop(signal.SIGKILL)
            return
        fault = {"error_rates": {"503": 1}} if self._way == "down" else {"hang": 1}
        Sandbox(self.url).faults(rules=[fault])

    def recover(self) -> None:
        if self._way == "refusing":
            self._server = Server("ai", "--port", str(urlsplit(self.url).port))
            assert self._server.url == self.url
        else:
            http.delete(f"{self.url}/faults").raise_for_status()

    def end(self) -> None:
        if self._server.process.poll() is None:
            self._server.stop()

    @property
    def answered(self) -> int:
        """How many it has answered since it was started."""
        usage = http.get(f"{self.url}/usage").raise_for_status().json()
        return sum(model["answered"] for model in usage["openai"].values())


@dataclass(frozen=True)
class Span:
    """How long an outage lasts: at least this, and until so many probes have failed."""

    seconds: float
    probes: int
    recovery: timedelta


@dataclass
class Outage:
    """What happened, when, and what the processes say of it."""

    way: str
    tenant: Tenant
    openai: OpenAI
    breakers: Breakers
    deployment: str
    processes: list["subprocess.Popen[str]"]
    died_at: datetime = field(init=False)
    recovered_at: datetime = field(init=False)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    changes: list[tuple[datetime, State]] = field(default_factory=list)

    @property
    def _breaker(self) -> Status:
        return self.breakers.statuses_of([self.deployment])[self.deployment]

    def happen(self, span: Span) -> None:
        """From the first answers to those after the recovery."""
        self._wait_for_answers(10)
        self.openai.die()
        self.died_at, died = datetime.now(UTC), time.monotonic()
        self._wait(lambda: self._breaker.state is State.OPEN, "its breaker to open")
        wait_until(
            # Each of a probe's two changes, and the first opening, begin an epoch.
            lambda: time.monotonic() > died + span.seconds and self._breaker.epoch > 2 * span.probes,
            seconds=span.seconds + 120,
            what="the end of the outage",
        )
        self.recovered_at = datetime.now(UTC)
        self.openai.recover()
        self._wait(lambda: self._breaker.state is State.CLOSED, "its breaker to close")
        self._wait_for_answers(self.openai.answered + 20)
        self._stop()

    def changes_to(self, state: State) -> list[datetime]:
        return [at for at, after in self.changes if after is state]

    def _wait_for_answers(self, number: int) -> None:
        self._wait(lambda: self.openai.answered >= number, f"{number} answers")

    def _wait(self, condition: Any, what: str) -> None:
        try:
            wait_until(condition, seconds=300, what=f"{what} ({self.way})", every=0.2)
        except TooLateError as error:
            raise AssertionError(f"{error}; {self._breaker}") from error

    def _stop(self) -> None:
        """Let the processes end, and take in what they say."""
        for each in self.processes:
            assert each.stdin is not None
            each.stdin.close()
            each.stdin = None
        for kind, each in zip(RATES, self.processes, strict=True):
            said = json.loads(each.communicate(timeout=300)[0])
            self.seconds[kind] = said["seconds"]
            self.changes += [(datetime.fromtimestamp(at, UTC), State(after)) for at, after in said["changes"]]
        self.changes.sort()


@contextmanager
def outage(
    way: str,
    *,
    tenant: Tenant,
    deployment: str,
    azure: Sandbox,
    redis_url: str,
    recovery: timedelta,
    environment: Mapping[str, str],
) -> Iterator[Outage]:
    """The tenant's processes, which ask steadily. Who shares a Redis shares the deployments' breakers."""
    with ExitStack() as stack:
        openai = OpenAI(way)
        stack.callback(openai.end)
        shared = SharedRedis(redis_url)
        stack.callback(shared.close)
        given = {
            **unmeasured(),
            "REDIS_URL": redis_url,
            "OPENAI_BASE_URL": f"{openai.url}/openai/v1",
            "OPENAI_API_KEY": "sandbox",
            "AZURE_OPENAI_ENDPOINT": f"{azure.url}/azure",
            "AZURE_OPENAI_API_KEY": "sandbox",
            "HUNTAZE_DB_POOL": "4",
            "HUNTAZE_BREAKER_RECOVERY_SECONDS": f"{recovery.total_seconds():g}",
            **environment,
        }
        processes = []
        for kind, rate in RATES.items():
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.resilience.asking_process", kind, str(tenant.pk), rate],
                cwd=CLONE,
                env=given,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(stack.enter_context(process))
            stack.callback(process.kill)
        breakers = Breakers(shared, prefix=PREFIX, settings=Settings(recovery=recovery))
        yield Outage(way, tenant, openai, breakers, deployment, processes)
