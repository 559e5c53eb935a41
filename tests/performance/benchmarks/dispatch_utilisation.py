"""How much of their limits saturated accounts use, by the gateway's clock, and that they never exceed them.

A window is 6 s; BENCH_WINDOW_SECONDS=60 measures the real one, in about 13 minutes.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze.stack import Stack
from tests.performance.arrivals import SECOND, Arrival, by_account, fullest_window, utilisation
from tests.performance.dispatching import Gateway, gateway, watched, workers
from tests.performance.harness import Benchmark, Sides
from tests.performance.rows import Population, Rows
from tests.performance.running import RoundError, say

ACCOUNTS, COUNT = 300, 10
WINDOW_S = int(os.environ.get("BENCH_WINDOW_SECONDS", "6"))
# The first one isn't looked at.
WINDOWS = 11
# No account runs out of messages.
EACH = (WINDOWS + 2) * COUNT


def our_share(stack: Stack, rows: Rows, sink: Gateway) -> float:
    """W ÷ the mean time from an arrival to the tenth after it. Raises RoundError if a limit was exceeded."""
    first = sink.arrivals.count()
    rows.enqueue(each=EACH)
    with workers(stack, sink) as pids:
        rows.release()
        with watched(stack, pids, what=f"{ACCOUNTS} saturated accounts"):
            time.sleep((WINDOWS + 0.5) * WINDOW_S)  # the time that is measured
        arrivals = sink.arrivals.since(first)
    return judge(arrivals)


def judge(arrivals: list[Arrival]) -> float:
    times = by_account(arrivals)
    fullest = max(fullest_window(each, window=WINDOW_S * SECOND) for each in times.values())
    fewest = min(len(each) for each in times.values())
    say(
        f"windows of {WINDOW_S} s: {len(arrivals):,} arrivals, at least {fewest} of each account; "
        f"the fullest window held {fullest} of {COUNT}"
    )
    if fullest > COUNT or len(times) < ACCOUNTS or fewest <= COUNT:
        raise RoundError("a limit was exceeded, or an account hardly sent anything")
    return utilisation(times, count=COUNT, window=WINDOW_S * SECOND)


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    with gateway(stack) as sink:
        rows = Rows(stack, Population(accounts=ACCOUNTS, fans=EACH, count=COUNT, seconds=WINDOW_S))
        rows.populate()
        yield Sides(ours=partial(our_share, stack, rows, sink), peer=lambda: 1)


BENCHMARK = Benchmark(
    name="dispatch.utilisation",
    peer_name=f"the ideal: 10 in every {WINDOW_S} s",
    unit="of the limit",
    sides=sides,
    processes=("beat",),
    rounds=1,
    warm_up=False,
)
