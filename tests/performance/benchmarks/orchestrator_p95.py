"""The same, of the slowest in twenty: the database writes its log, the configuration is read again."""

from collections.abc import Iterator
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.orchestrator_blocks import Blocks, provider


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    with provider(stack) as environment:
        yield Blocks(environment, figure="p95").sides


BENCHMARK = Benchmark(
    name="orchestrator.p95",
    peer_name="the bare openai client's slowest in twenty",
    unit="ms",
    sides=sides,
    rounds=3,
    warm_up=False,
)
