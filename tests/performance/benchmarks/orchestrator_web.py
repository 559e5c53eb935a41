"""A campaigns' status while 200 callers wait for their answers, against the same with nobody else there."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze.stack import Stack
from tests.live import new_agency
from tests.performance.harness import Benchmark, Sides
from tests.performance.orchestrating import slow_down
from tests.performance.running import run_to_end, say

IN_FLIGHT = 200
PROVIDER_S = 3
SECONDS = 8
LOAD = "tests.performance.question_load"


def status_ms(stack: Stack, key: str, *, in_flight: int) -> float:
    """The 95th percentile."""
    arguments = (stack.base_url, str(in_flight), str(PROVIDER_S), str(SECONDS))
    printed = run_to_end(LOAD, *arguments, environment={**stack.environment, "HUNTAZE_KEY": key})
    median, p95, longest = map(float, printed.split())
    say(f"{in_flight} in flight: p50 {median:.0f} ms, p95 {p95:.0f} ms, longest {longest:.0f} ms")
    return p95


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    slow_down(stack, seconds=PROVIDER_S)
    key = new_agency(stack).key
    yield Sides(
        ours=partial(status_ms, stack, key, in_flight=IN_FLIGHT),
        peer=partial(status_ms, stack, key, in_flight=0),
    )


BENCHMARK = Benchmark(
    name="orchestrator.web",
    peer_name="the same with nothing else in flight (we promise 200 ms)",
    unit="ms (p95)",
    sides=sides,
    processes=("web", "sandbox-ai"),
    rounds=3,
)
