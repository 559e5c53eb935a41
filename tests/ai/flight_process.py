"""A process that asks one question, for test_flights_processes.py.

python -m tests.ai.flight_process lead URL TENANT          leads until it is killed, and says so on stdout
python -m tests.ai.flight_process ask URL TENANT THREADS   asks on so many threads, prints what became of each
python -m tests.ai.flight_process give_up URL TENANT THREADS   the same, but whoever leads abandons the flight
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import redis

from apps.ai.flights.desk import Desk
from apps.ai.flights.ttl import NOT_CACHED
from apps.ai.flights.turns import Again, Answer, Ask, Begun, Inherent, Join, Lead
from apps.common.shared_redis import SharedRedis
from tests.ai.flying import CAP, MINUTE, ask

# Of whoever leads: short where one is killed, and never over where one gives up.
LEASES = {"lead": timedelta(seconds=5), "ask": timedelta(seconds=10), "give_up": MINUTE}
SECONDS = 100


def calls(tenant_id: UUID) -> str:
    """Where each call of a provider is counted."""
    return f"test:{tenant_id}:calls"


def _begin(desk: Desk, one: Ask) -> Begun:
    deadline = time.monotonic() + SECONDS
    begun = desk.begin(one)
    if isinstance(begun.turn, Join):
        return desk.follow(begun.turn, time_left=lambda: timedelta(seconds=deadline - time.monotonic()))
    return begun


def _ask(desk: Desk, one: Ask, counter: "redis.Redis") -> str:
    turn = _begin(desk, one).turn
    if isinstance(turn, Lead):
        counter.rpush(calls(one.tenant_id), one.token)
        desk.end(turn.ticket, Answer({"text": "asked"}))
        return "led"
    if isinstance(turn, Answer):
        return str(turn.answer["text"])
    return str(turn.error["code"]) if isinstance(turn, Inherent) else type(turn).__name__


def _give_up(desk: Desk, one: Ask, counter: "redis.Redis") -> str:
    turn = _begin(desk, one).turn
    if not isinstance(turn, Lead):
        return type(turn).__name__
    leaders = counter.incr(calls(one.tenant_id))
    counter.decr(calls(one.tenant_id))
    desk.end(turn.ticket, Again())
    return f"led beside {leaders - 1}"


def main(operation: str, url: str, tenant: str, threads: str = "1") -> None:
    shared, tenant_id = SharedRedis(url), UUID(tenant)
    desk = Desk(flights=shared, cache=shared, cap=CAP, beat=timedelta(milliseconds=50))
    asks = [ask(tenant_id, ttl=NOT_CACHED, lease=LEASES[operation]) for _ in range(int(threads))]
    if operation == "lead":
        assert isinstance(desk.begin(asks[0]).turn, Lead)
        with desk.kept(asks[0], at_most=2 * MINUTE):
            print("leading", flush=True)  # noqa: T201
            time.sleep(SECONDS)
    work = _give_up if operation == "give_up" else _ask
    with redis.Redis.from_url(url) as counter, ThreadPoolExecutor(len(asks)) as pool:
        print(json.dumps(list(pool.map(lambda one: work(desk, one, counter), asks))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
