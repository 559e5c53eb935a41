"""Redis dies or hangs under load, and comes back: questions are answered all the while."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from threading import Event
from typing import Any

import pytest
from django.db import connection

from apps.ai.flights.turns import LEASE
from apps.ai.models import Source
from apps.ai.services import configuration
from apps.ai.services.rows import Ending
from apps.common.ids import uuid7
from apps.common.shared_redis import PATIENCE_S
from apps.tenants.models import Tenant
from tests.ai.asking import answer, calls_of, caption
from tests.common.redis_server import Server, own_redis
from tests.conftest import Sandbox
from tests.costs.threads import at_once
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

THREADS = 8
# Each waits for the lease of a leader that nobody hears of any more, for Redis a few times, and for its turn
# on a busy machine.
LONGEST = LEASE + timedelta(seconds=8 * PATIENCE_S + 5)


@pytest.fixture
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Redis of the test's own, in the place of the usual one."""
    monkeypatch.setattr(configuration, "FRESH", timedelta(seconds=1))
    monkeypatch.setattr(configuration, "_kept", configuration._Kept())
    with own_redis() as server:
        settings.REDIS_URL = settings.CACHE_REDIS_URL = server.url
        yield server


class Load:
    """Questions on so many threads, each as soon as the last one was answered."""

    def __init__(self, tenant: Tenant) -> None:
        self.endings: list[Ending] = []
        self._tenant, self._numbers, self._over = tenant, count(), Event()

    def stop(self) -> None:
        self._over.set()

    def ask(self) -> None:
        while not self._over.is_set():
            number = next(self._numbers)
            # Every other one is a question that others ask too, at once or a little later. One in eight wants
            # nobody else's answer: for that, breakers are read in a round trip of their own.
            text = f"Lake {number}." if number % 2 else f"Sea {number // 40}."
            self.endings.append(answer(caption(self._tenant, text, fresh=number % 8 == 1)))
            connection.close()

    def number(self, source: Source) -> int:
        return sum(each.source == source for each in self.endings)

    def wait_for(self, number: int) -> None:
        """Until so many more are answered."""
        enough = len(self.endings) + number
        wait_until(lambda: len(self.endings) >= enough, seconds=60, what=f"{number} answers", every=0.02)


@contextmanager
def load(tenant: Tenant) -> Iterator[Load]:
    """Under way during the block. Whatever went wrong in it is raised at its end."""
    made = Load(tenant)
    with ThreadPoolExecutor(THREADS) as pool:
        asking = [pool.submit(made.ask) for _ in range(THREADS)]
        try:
            yield made
        finally:
            made.stop()
        for each in asking:
            each.result(60)


def number_of(event: str, caplog: pytest.LogCaptureFixture) -> int:
    return sum(isinstance(record.msg, dict) and record.msg["event"] == event for record in caplog.records)


def check_shared(tenant: Tenant, sandbox: Sandbox) -> None:
    """The cache answers, and identical questions are one call."""
    text = str(uuid7())
    assert [answer(caption(tenant, text)).source for _ in range(2)] == [Source.PROVIDER, Source.CACHE]
    sandbox.faults(rules=[{"latency": {"distribution": "constant", "ms": 1500}}])
    questions, before = [caption(tenant, f"{text}.") for _ in range(4)], calls_of(sandbox)
    at_once(4, lambda index: answer(questions[index]))
    assert calls_of(sandbox) == before + 1


def kill(server: Server) -> Callable[[], None]:
    server.kill()
    return server.start


def hang(server: Server) -> Callable[[], None]:
    server.hang()
    return server.go_on


@pytest.mark.parametrize("go", [kill, hang])
def test_questions_are_answered_while_redis_is_away_and_shared_again_afterwards(
    agency: Tenant,
    ai_sandbox: Sandbox,
    server: Server,
    caplog: pytest.LogCaptureFixture,
    go: Callable[[Server], Callable[[], None]],
) -> None:
    ai_sandbox.faults(rules=[{"latency": {"distribution": "constant", "ms": 50}}])
    with load(agency) as asked:
        wait_until(lambda: asked.number(Source.CACHE) >= THREADS, seconds=60, what="answers of the cache")
        come_back = go(server)
        # The process has heard of it; from then on nobody shares anything.
        wait_until(lambda: number_of("redis.away", caplog) == 1, seconds=60, what="the process to notice")
        asked.wait_for(2 * THREADS)
        alone = len(asked.endings)
        asked.wait_for(10 * THREADS)
        assert {each.source for each in asked.endings[alone:]} == {Source.PROVIDER}
        assert not number_of("redis.back", caplog)
        come_back()
        wait_until(lambda: number_of("redis.back", caplog) == 1, seconds=60, what="the process to notice")
        asked.wait_for(5 * THREADS)

    assert {each.error for each in asked.endings} == {""}
    assert max(each.latency for each in asked.endings if each.latency) < LONGEST
    assert (number_of("redis.away", caplog), number_of("redis.back", caplog)) == (1, 1)
    check_shared(agency, ai_sandbox)
