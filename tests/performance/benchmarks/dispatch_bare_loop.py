"""What everything that dispatch promises costs: our workers against a loop that promises nothing."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import redis

from huntaze.stack import Stack
from tests.performance.dispatching import LIMITS, WORKERS, Gateway, gateway, our_rate, rate_of, watched
from tests.performance.harness import Benchmark, Sides
from tests.performance.peers.bare_loop import GO, READY
from tests.performance.rows import Population, Rows
from tests.performance.running import process
from tests.waiting import wait_until

ACCOUNTS, EACH = 500, 40
LOOP = "tests.performance.peers.bare_loop"


def bare_rate(stack: Stack, rows: Rows, sink: Gateway) -> float:
    """Messages/s of as many bare loops as we have workers."""
    signals = redis.Redis.from_url(stack.urls.redis)
    signals.delete(READY, GO)
    rows.clear()
    messages = rows.enqueue(each=EACH)
    command = (sys.executable, "-m", LOOP, sink.url, stack.urls.superuser, stack.urls.redis)
    with ExitStack() as started:
        pids = {
            name: started.enter_context(
                process(command, environment=stack.environment, log=stack.log_of(name))
            )
            for name in (f"bare-loop-{number}" for number in range(WORKERS))
        }
        wait_until(lambda: signals.llen(READY) == WORKERS, seconds=30, what="bare loops", every=0.02)
        with watched(stack, pids, what="bare loop", messages=messages):
            go = partial(signals.rpush, GO, *range(WORKERS))
            return rate_of(rows, sink, messages=messages, start=go)


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Both through one gateway and from the same rows."""
    with gateway(stack) as sink:
        rows = Rows(stack, Population(accounts=ACCOUNTS, fans=EACH))
        rows.populate(LIMITS)
        yield Sides(
            ours=partial(our_rate, stack, rows, sink, each=EACH),
            peer=partial(bare_rate, stack, rows, sink),
        )


BENCHMARK = Benchmark(
    name="dispatch.bare_loop",
    peer_name="a bare loop: raw SQL, a Lua call and an asynchronous request per message",
    unit="messages/s",
    sides=sides,
    processes=("beat",),
    rounds=3,
)
