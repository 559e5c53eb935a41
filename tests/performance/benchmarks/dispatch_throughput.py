"""Messages to the gateway and known to be sent, against one Celery task per message."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import redis

from huntaze.stack import Stack
from tests.performance.dispatching import (
    CONCURRENCY,
    LIMITS,
    WORKERS,
    Gateway,
    gateway,
    our_rate,
    rate_of,
    watched,
)
from tests.performance.harness import Benchmark, Sides
from tests.performance.rows import Population, Rows
from tests.performance.running import process, run_to_end, say
from tests.waiting import wait_until

ACCOUNTS, EACH, EACH_OF_PEER = 500, 40, 4
PEER = "tests.performance.peers.task_per_message"
POOLS = ("prefork", "threads", "gevent")


class Peer:
    """The peer's workers with one pool or another: as many processes as ours, of the same concurrency."""

    def __init__(self, stack: Stack, rows: Rows, sink: Gateway) -> None:
        self._stack, self._rows, self._sink = stack, rows, sink
        self._broker = redis.Redis.from_url(stack.urls.redis.replace("db=1", "db=0"))
        self._environment = {
            **stack.environment,
            # The superuser: no policies, and no role to turn into.
            "DATABASE_URL": stack.urls.superuser.replace("/postgres?", "/huntaze?"),
            "ONLYFANS_API_URL": sink.url,
            "PEER_LIMITS_URL": f"redis+{stack.urls.redis}",
        }

    def rate(self, pool: str) -> float:
        """Messages/s of workers that have been warmed up, and find all tasks in their queue."""
        rate = 0.0
        with ExitStack() as started:
            names = [f"peer-{pool}-{number}" for number in range(WORKERS)]
            pids = {name: self._start(name, pool, started) for name in names}
            for each in (1, EACH_OF_PEER):
                self._rows.clear()
                messages = self._rows.enqueue(each=each)
                run_to_end(PEER, environment=self._environment)
                with watched(self._stack, pids, what=f"peer, {pool}", messages=messages):
                    rate = rate_of(self._rows, self._sink, messages=messages, start=self._release)
        return rate

    def _release(self) -> None:
        self._broker.rename("peer-held", "peer-messages")

    def _start(self, name: str, pool: str, started: ExitStack) -> int:
        command = [sys.executable, "-m", "celery", "-q", "-A", PEER, "worker", "-n", f"{name}@%h"]
        command += [
            "-P",
            pool,
            "-c",
            str(CONCURRENCY),
            "-l",
            "WARNING",
            "--without-gossip",
            "--without-mingle",
        ]
        log = self._stack.log_of(name)
        ready = log.with_suffix(".ready")
        ready.unlink(missing_ok=True)
        pid = started.enter_context(
            process(
                command,
                environment={**self._environment, "PEER_READY": str(ready), "PEER_POOL": pool},
                log=log,
            )
        )
        wait_until(ready.exists, seconds=60, what=name, every=0.05)
        return pid


def best_pool(rate: Callable[[str], float]) -> str:
    """Whichever pool makes the peer fastest, by a round each."""
    rates = {pool: rate(pool) for pool in POOLS}
    say("peer: " + ", ".join(f"{pool} {found:,.0f}/s" for pool, found in rates.items()))
    return max(rates, key=lambda pool: rates[pool])


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Both through one gateway and from the same rows."""
    with gateway(stack) as sink:
        rows = Rows(stack, Population(accounts=ACCOUNTS, fans=EACH))
        rows.populate(LIMITS)
        peer = Peer(stack, rows, sink)
        pool = best_pool(peer.rate)
        yield Sides(
            ours=partial(our_rate, stack, rows, sink, each=EACH),
            peer=partial(peer.rate, pool),
        )


BENCHMARK = Benchmark(
    name="dispatch.throughput",
    peer_name="one Celery task per message, best of prefork, threads and gevent",
    unit="messages/s",
    sides=sides,
    processes=("beat",),
    rounds=3,
)
