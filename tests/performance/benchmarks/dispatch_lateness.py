"""How late messages of very many accounts are sent: 100,000, each of which may send one in 100 s.

Accounts fall due one per millisecond, and go on doing so: the demand is 1,000 messages/s. All have a backlog.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze.stack import Stack
from tests.performance.arrivals import SECOND, percentile
from tests.performance.dispatching import Gateway, gateway, watched, workers
from tests.performance.harness import Benchmark, Sides
from tests.performance.rows import Population, Rows
from tests.performance.running import RoundError, say

ACCOUNTS, BACKLOG = 100_000, 2
PERIOD_S = 100
# Idle for two rounds of the sweep.
SECONDS, IDLE_SECONDS = 30, 30
# What may be due before it is sent at last.
GRACE_S = 5
TARGET_S = 2.0
# Time to make the rows and start the workers in.
LEAD_S = 45


def our_lateness(stack: Stack, rows: Rows, sink: Gateway) -> float:
    """The 99th percentile of arrival less due time, in seconds. Raises RoundError if it began too late."""
    due_after = f"number.account / {ACCOUNTS / PERIOD_S}"
    rows.enqueue(each=BACKLOG, lead=LEAD_S, after=due_after, campaigns=False)
    rows.release()
    begins = min(rows.due().values()) / SECOND
    with workers(stack, sink) as pids:
        if time.time() > begins:
            raise RoundError(f"the rows took more than {LEAD_S} s to make")
        time.sleep(begins - time.time())
        with watched(stack, pids, what=f"{ACCOUNTS:,} accounts with {ACCOUNTS / PERIOD_S:,.0f} messages/s"):
            time.sleep(SECONDS)  # the time that is measured
        time.sleep(GRACE_S)  # what is late by less than that counts as sent
        rows.wait_for_ever()
        time.sleep(GRACE_S)  # what was under way has ended by then
        with watched(stack, pids, what=f"idle, {ACCOUNTS:,} accounts waiting"):
            time.sleep(IDLE_SECONDS)  # the time that is measured
    ended = begins + SECONDS + GRACE_S
    arrived = {each.account: each.at / SECOND for each in reversed(sink.arrivals.since(0))}
    asked = range(round(SECONDS * ACCOUNTS / PERIOD_S))
    missing = sum(account not in arrived for account in asked)
    # What hasn't come is as late as it is by now, at least.
    late = [arrived.get(account, ended) - begins - account * PERIOD_S / ACCOUNTS for account in asked]
    say(f"p50 {percentile(late, 0.5):.2f} s, worst {max(late):.2f} s; {missing} of {len(asked)} missing")
    return percentile(late, 0.99)


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    with gateway(stack) as sink:
        rows = Rows(
            stack, Population(accounts=ACCOUNTS, fans=BACKLOG, tenants=100, count=1, seconds=PERIOD_S)
        )
        rows.populate()
        yield Sides(ours=partial(our_lateness, stack, rows, sink), peer=lambda: TARGET_S)


BENCHMARK = Benchmark(
    name="dispatch.lateness",
    peer_name="what we promise: 2 s (less is better)",
    unit="s late (p99)",
    sides=sides,
    processes=("beat",),
    rounds=1,
    warm_up=False,
)
