"""Whether one tenant's backlog, more than the workers can do, makes the others' messages late.

The whale's messages, nine tenths of all, are due from the start, and as many as the workers can send in ten
seconds. The others' fall due evenly over these.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

from huntaze.stack import Stack
from tests.performance.arrivals import percentile
from tests.performance.dispatching import LIMITS, Gateway, gateway, our_rate, warm_up, workers
from tests.performance.harness import Benchmark, Sides
from tests.performance.rows import Population, Rows
from tests.performance.running import RoundError, say
from tests.waiting import TooLateError, wait_until

ACCOUNTS, WHALES, EACH_AT_MOST = 1000, 900, 60
SECONDS = 10
# Time to make the rows in, before the first of them is due.
LEAD_S = 6
OTHERS = range(WHALES, ACCOUNTS)
LATE_AT_MOST_S = 60


def lateness(stack: Stack, rows: Rows, sink: Gateway, *, each: int, whale: bool) -> float:
    """The median of arrival less due time of the others' messages, in milliseconds. Raises RoundError."""
    rows.clear()  # before there are workers: of the last run's messages some may be left
    with workers(stack, sink):
        warm_up(rows, sink)
        rows.clear()
        first = sink.arrivals.count()
        if whale:
            rows.enqueue(each=each, accounts=range(WHALES), lead=LEAD_S)
        spread = f"{SECONDS} * (number.fan * 7919 %% 10007) / 10007.0"
        expected = rows.enqueue(each=each, accounts=OTHERS, lead=LEAD_S, after=spread)
        due = {fan: at for fan, at in rows.due().items() if fan >= WHALES * EACH_AT_MOST}
        rows.release()
        arrived = partial(_of_others, sink, first)
        try:
            wait_until(
                lambda: len(arrived()) >= expected,
                seconds=LEAD_S + SECONDS + LATE_AT_MOST_S,
                what="the others' messages",
                every=0.25,
            )
        except TooLateError as error:
            raise RoundError(str(error)) from error
        of_others = arrived()
        of_whale = sink.arrivals.count() - first - len(of_others)
    late = [(at - due[fan]) / 1000 for fan, at in of_others.items()]
    say(
        f"{'with' if whale else 'without'} the whale: p50 {median(late):,.0f} ms, "
        f"p99 {percentile(late, 0.99):,.0f} ms; meanwhile {of_whale:,} messages of the whale's arrived"
    )
    return median(late)


def _of_others(sink: Gateway, first: int) -> dict[int, int]:
    return {each.recipient: each.at for each in sink.arrivals.since(first) if each.account >= WHALES}


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """The same ten seconds, with the whale and without it."""
    with gateway(stack) as sink:
        rows = Rows(stack, Population(accounts=ACCOUNTS, fans=EACH_AT_MOST, tenants=11, of_whale=WHALES))
        rows.populate(LIMITS)
        capacity = our_rate(stack, rows, sink, each=5)
        each = max(2, min(EACH_AT_MOST, round(capacity * SECONDS / WHALES)))
        say(f"the workers send {capacity:,.0f} messages/s: {each} of each account, over {SECONDS} s")
        of = partial(lateness, stack, rows, sink, each=each)
        yield Sides(ours=partial(of, whale=True), peer=partial(of, whale=False))


BENCHMARK = Benchmark(
    name="dispatch.whale",
    peer_name="the other tenants' median lateness without the whale (more than 1 is later)",
    unit="ms late",
    sides=sides,
    processes=("beat",),
    rounds=3,
    warm_up=False,
)
