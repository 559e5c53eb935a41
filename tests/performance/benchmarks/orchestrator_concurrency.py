"""400 questions for one worker, whose provider takes a second for each, against the bare client."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil
import redis

from huntaze.processes import WORKERS
from huntaze.stack import Stack
from tests.live import query
from tests.performance.dispatching import processor_time
from tests.performance.harness import Benchmark, Sides
from tests.performance.orchestrating import new_tenant, slow_down
from tests.performance.running import RoundError, measure, run_to_end, say
from tests.waiting import TooLateError, wait_until

QUESTIONS = 400
PROVIDER_S = 1
# The broker's database of the stack, and one that nobody listens to.
DATABASE, HELD = 0, 2
QUEUE = "ai"
_LEFT = "SELECT count(*) FROM ai_generation WHERE tenant_id = %s AND finished_at IS NULL"
_ENDS = """
SELECT count(*) FILTER (WHERE state = 'succeeded'), extract(epoch FROM max(finished_at))
FROM ai_generation WHERE tenant_id = %s
"""


def seconds_until_all_are_answered(stack: Stack) -> float:
    """All questions are let go at one instant; the clock is that of this machine. Raises RoundError."""
    tenant = new_tenant(stack)
    broker = stack.environment["CELERY_BROKER_URL"]
    held = {"CELERY_BROKER_URL": broker.replace(f"virtual_host={DATABASE}", f"virtual_host={HELD}")}
    run_to_end(
        "tests.performance.questions", tenant, str(QUESTIONS), environment={**stack.environment, **held}
    )
    worker = {"worker": stack.pid_of(f"worker-{QUEUE}")}
    with redis.Redis.from_url(stack.urls.redis.replace("db=1", f"db={HELD}")) as store:
        before, started = processor_time(worker), time.time()
        if not store.move(QUEUE, DATABASE):
            raise RoundError("the questions' hints could not be let go")
    try:
        wait_until(
            lambda: query(stack, _LEFT, tenant) == [(0,)], seconds=60, what=f"{QUESTIONS} answers", every=0.1
        )
    except TooLateError as error:
        raise RoundError(str(error)) from error
    [(answered, ended)] = query(stack, _ENDS, tenant)
    if answered != QUESTIONS:
        raise RoundError(f"only {answered} of {QUESTIONS} questions were answered")
    seconds, used = float(ended) - started, processor_time(worker)["worker"] - before["worker"]
    say(f"{seconds:.2f} s; the worker has worked for {used:.2f} s and has {_memory_mb(stack):.0f} MB")
    return seconds


def _memory_mb(stack: Stack) -> float:
    root = psutil.Process(stack.pid_of(f"worker-{QUEUE}"))
    return float(sum(each.memory_info().rss for each in (root, *root.children(recursive=True))) / 2**20)


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    slow_down(stack, seconds=PROVIDER_S)
    threads = str(WORKERS[QUEUE])
    yield Sides(
        ours=partial(seconds_until_all_are_answered, stack),
        peer=partial(measure, "peers.bare_openai", str(QUESTIONS), threads, environment=stack.environment),
    )


BENCHMARK = Benchmark(
    name="orchestrator.concurrency",
    peer_name="the bare openai client in as many threads (we promise 6 s)",
    unit=f"s for {QUESTIONS} questions",
    sides=sides,
    processes=("sandbox-ai", f"worker-{QUEUE}"),
    rounds=3,
)
