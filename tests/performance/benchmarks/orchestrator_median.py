"""What a question costs that nobody has asked before: routed, held on three budgets, settled, cached."""

from collections.abc import Iterator
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.orchestrator_blocks import Blocks, provider


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    with provider(stack) as environment:
        yield Blocks(environment, figure="median").sides


BENCHMARK = Benchmark(
    name="orchestrator.median",
    peer_name="the bare openai client",
    unit="ms",
    sides=sides,
    rounds=3,
    warm_up=False,
)
