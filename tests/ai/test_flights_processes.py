"""One flight and hundreds of callers in several processes."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest
import redis

from apps.ai.flights.desk import Desk
from apps.ai.flights.ttl import NOT_CACHED
from apps.ai.flights.turns import Again, Answer, Inherent, Lead, Told
from tests.ai.flight_process import calls
from tests.ai.flying import CAP, MINUTE, ask, question, shared
from tests.unmeasured import unmeasured
from tests.waiting import wait_until

PROCESSES, THREADS = 4, 50
JOINERS = PROCESSES * THREADS
URL = os.environ["REDIS_URL"]


@pytest.fixture
def client() -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(URL) as made:
        yield made


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as processes:
        yield processes


def start(started: ExitStack, operation: str, tenant_id: UUID, threads: int = 1) -> "subprocess.Popen[str]":
    process = started.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "tests.ai.flight_process", operation, URL, str(tenant_id), str(threads)],
            env=unmeasured(),
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    started.callback(process.kill)
    return process


def joiners(started: ExitStack, tenant_id: UUID, client: "redis.Redis") -> "list[subprocess.Popen[str]]":
    """All of them, once each has joined."""
    processes = [start(started, "ask", tenant_id, THREADS) for _ in range(PROCESSES)]
    flight = f"huntaze:ai:{{{tenant_id}}}:flight:{question(tenant_id)}"
    wait_until(lambda: client.hlen(flight) == JOINERS + 3, seconds=120, what="everybody to join")
    return processes


def heard(processes: "list[subprocess.Popen[str]]") -> Counter[str]:
    return Counter(each for process in processes for each in json.loads(process.communicate(timeout=120)[0]))


def lead(tenant_id: UUID) -> tuple[Desk, Lead]:
    client = shared(URL)
    desk = Desk(flights=client, cache=client, cap=CAP)
    turn = desk.begin(ask(tenant_id, ttl=NOT_CACHED, lease=5 * MINUTE)).turn
    assert isinstance(turn, Lead)
    return desk, turn


@pytest.mark.parametrize(
    ("told", "what"),
    [(Answer({"text": "for all"}), "for all"), (Inherent({"code": "content_filtered"}), "content_filtered")],
)
def test_two_hundred_who_joined_hear_one_leader(
    started: ExitStack, client: "redis.Redis", told: Told, what: str
) -> None:
    tenant_id = uuid4()
    desk, turn = lead(tenant_id)
    processes = joiners(started, tenant_id, client)
    desk.end(turn.ticket, told)
    assert heard(processes) == {what: JOINERS}
    assert client.llen(calls(tenant_id)) == 0


def test_of_two_hundred_whose_leader_is_killed_one_takes_over(
    started: ExitStack, client: "redis.Redis"
) -> None:
    tenant_id = uuid4()
    leader = start(started, "lead", tenant_id)
    assert leader.stdout is not None
    assert leader.stdout.readline() == "leading\n"
    processes = joiners(started, tenant_id, client)
    leader.kill()
    assert heard(processes) == {"led": 1, "asked": JOINERS - 1}
    assert client.llen(calls(tenant_id)) == 1


def test_of_two_hundred_whose_leader_gives_up_one_takes_over(
    started: ExitStack, client: "redis.Redis"
) -> None:
    tenant_id = uuid4()
    desk, turn = lead(tenant_id)
    processes = joiners(started, tenant_id, client)
    desk.end(turn.ticket, Again())
    assert heard(processes)["led"] >= 1
    assert client.llen(calls(tenant_id)) == 1


def test_where_everybody_gives_up_each_leads_once_and_alone(started: ExitStack) -> None:
    tenant_id, threads = uuid4(), 10
    processes = [start(started, "give_up", tenant_id, threads) for _ in range(PROCESSES)]
    assert heard(processes) == {"led beside 0": PROCESSES * threads}
