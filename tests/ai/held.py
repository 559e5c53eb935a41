"""A provider that can be held in the middle of its work, and the flights that wait for it meanwhile."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import psutil
import redis

from tests.ai.asking import calls_of
from tests.conftest import Sandbox
from tests.sandbox.processes import Server, running
from tests.waiting import wait_until


class HeldProvider:
    """Both providers' stand-in, stopped and continued as a process: who calls it meanwhile waits."""

    def __init__(self, server: Server) -> None:
        self._process = psutil.Process(server.process.pid)
        self.url = server.url

    def hold(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    @property
    def environment(self) -> dict[str, str]:
        """What leads a process of ours to it."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/openai/v1",
            "OPENAI_API_KEY": "sandbox",
            "AZURE_OPENAI_ENDPOINT": f"{self.url}/azure",
            "AZURE_OPENAI_API_KEY": "sandbox",
        }

    @property
    def calls(self) -> int:
        return calls_of(Sandbox(self.url))


@contextmanager
def held_provider() -> Iterator[HeldProvider]:
    with running("ai", "--port", "0") as server:
        provider = HeldProvider(server)
        try:
            yield provider
        finally:
            provider.go_on()


@dataclass
class Flight:
    """The flight of a tenant's only question, as Redis has it."""

    tenant_id: UUID

    @property
    def _fields(self) -> dict[bytes, bytes]:
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            for key in client.scan_iter(f"huntaze:ai:{{{self.tenant_id}}}:flight:*"):
                found: dict[bytes, bytes] = client.hgetall(key)
                return found
        return {}

    @property
    def leader(self) -> bytes | None:
        return self._fields.get(b"leader")

    @property
    def waiters(self) -> int:
        return sum(name.startswith(b"w") for name in self._fields)

    def wait_for_leader(self, *, unlike: bytes | None = None) -> bytes:
        def found() -> bytes | None:
            leader = self.leader
            return leader if leader != unlike else None

        leader = wait_until(found, seconds=60, what="a leader", every=0.05)
        assert leader is not None
        return leader

    def wait_for_waiters(self, number: int) -> None:
        wait_until(lambda: self.waiters == number, seconds=100, what=f"{number} to have joined", every=0.05)
