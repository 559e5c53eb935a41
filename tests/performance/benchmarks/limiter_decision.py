"""The limiter alone: a slot of four layers, and its correction when the request has ended."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.running import measure, say

DECISIONS, PIPELINED = 20_000, 500
# One by one, they take longer.
ALONE, OF_PEER = 3_000, 3_000


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Both on the stack's Redis; each round asks for accounts that are new."""
    url = stack.urls.redis
    load = partial(measure, "limiter_load", environment=stack.environment)
    alone = sorted(load("alone", url, str(ALONE)) for _ in range(3))[1]
    say(f"one decision a round trip: {alone:,.0f} decisions/s")
    yield Sides(
        ours=lambda: load("ours", url, str(DECISIONS), str(PIPELINED)),
        peer=lambda: load("peer", f"redis+{url}", str(OF_PEER)),
    )


BENCHMARK = Benchmark(
    name="limiter.decision",
    peer_name="limits' moving window, a hit per layer",
    unit="decisions/s",
    sides=sides,
)
