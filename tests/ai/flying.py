"""Questions at desks, and Redis servers of a test's own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import redis

from apps.ai.flights.desk import Desk
from apps.ai.flights.identity import identity
from apps.ai.flights.ttl import Ttl
from apps.ai.flights.turns import LEASE, Ask, Lead
from apps.common.shared_redis import SharedRedis
from huntaze import embedded, embedded_redis
from tests.huntaze.homes import process
from tests.waiting import wait_until

Client = TypeVar("Client", bound=SharedRedis)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
TTL = Ttl(fresh=MINUTE, stale=10 * MINUTE)
CAP = 2**20
# 2026-01-01, in milliseconds.
START = 1_767_225_600_000


@dataclass
class Clock:
    """Redis's clock, as a desk may be given one."""

    now: int = START

    def __call__(self) -> int:
        return self.now

    def forward(self, time: timedelta) -> None:
        self.now += time // timedelta(milliseconds=1)


def question(tenant_id: UUID, text: str = "") -> str:
    return identity(
        tenant_id=tenant_id,
        prompt_key="caption",
        prompt_version_id=UUID(int=1),
        variables={"text": text},
        max_tokens=100,
        parameters={},
        model_class="standard",
    )


def ask(tenant_id: UUID, text: str = "", *, ttl: Ttl = TTL, lease: timedelta = LEASE, **fields: Any) -> Ask:
    """One caller's question."""
    return Ask(tenant_id=tenant_id, identity=question(tenant_id, text), ttl=ttl, lease=lease, **fields)


@dataclass
class Place:
    """A desk on a Redis, and a tenant of nobody else's."""

    desk: Desk
    clock: Clock
    tenant_id: UUID = field(default_factory=uuid4)

    def ask(self, text: str = "", **options: Any) -> Ask:
        return ask(self.tenant_id, text, **options)

    def lead(self, text: str = "", **options: Any) -> Ask:
        """Begin a question that nobody else is asking."""
        one = self.ask(text, **options)
        assert self.desk.begin(one).turn == Lead(one)
        return one


_shared: list[SharedRedis] = []


def closed_later(client: Client) -> Client:
    """The client, which is closed at the end of the test."""
    _shared.append(client)
    return client


def shared(url: str) -> SharedRedis:
    return closed_later(SharedRedis(url))


def close_shared() -> None:
    while _shared:
        _shared.pop().close()


def place(url: str, *, cache_url: str | None = None, cap: int = CAP) -> Place:
    clock, flights = Clock(), shared(url)
    cache = flights if cache_url is None else shared(cache_url)
    return Place(Desk(flights=flights, cache=cache, cap=cap, now=clock), clock)


def keys(url: str, tenant_id: UUID) -> set[str]:
    with redis.Redis.from_url(url) as client:
        return {key.decode().split("}:")[1] for key in client.scan_iter(f"huntaze:ai:{{{tenant_id}}}:*")}


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """A Redis of one's own on a state folder, killed at the end; its URL."""
    with process(sys.executable, "-m", "huntaze.embedded", "redis", home=home):
        wait_until(
            lambda: embedded_redis.answers(embedded.urls(home).redis), seconds=30, what="Redis", every=0.02
        )
        yield embedded.urls(home).redis
