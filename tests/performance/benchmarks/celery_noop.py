"""A task that does nothing: what our base task, settings and thread pool cost.

A round is timed from the first publication to the last execution. Nothing has to be counted in the tasks:
when the queue and the list of messages in hand are empty, all are done (with prefork, which acknowledges
early, all but the microseconds of the last one).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze.celery import app
from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.running import measure, process

TASKS = 600
CONCURRENCY = 8
# Where a task goes that no rule routes.
QUEUE = "analytics"
PLAIN = "tests.performance.peers.plain_celery"


@app.task(name="tests.performance.noop")
def noop() -> None:
    pass


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Both on the stack's Redis, each in a database of its own, with the same concurrency."""
    environment = dict(stack.environment)
    plain = {**environment, "CELERY_BROKER_URL": _in_database(stack, 2)}
    common = ("-c", str(CONCURRENCY), "-l", "WARNING", "--without-gossip", "--without-mingle")
    celery = (sys.executable, "-m", "celery", "-q")
    ours = (*celery, "-A", "huntaze", "worker", "-Q", QUEUE, "-P", "threads", "-I", __name__, *common)
    peer = (*celery, "-A", PLAIN, "worker", "-P", "prefork", *common)
    with (
        process(ours, environment=environment, log=stack.log_of("noop-ours")),
        process(peer, environment=plain, log=stack.log_of("noop-peer")),
    ):
        yield Sides(
            ours=partial(measure, "task_load", __name__, QUEUE, str(TASKS), environment=environment),
            peer=partial(measure, "task_load", PLAIN, "celery", str(TASKS), environment=plain),
        )


def _in_database(stack: Stack, number: int) -> str:
    url = stack.environment["CELERY_BROKER_URL"]
    return url.replace("virtual_host=0", f"virtual_host={number}")


BENCHMARK = Benchmark(
    name="celery.noop",
    peer_name="a plain Celery app in prefork of the same concurrency",
    unit="tasks/s",
    sides=sides,
)
