"""What a tenant has spent today, this week, this month and the last, against sums of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.reporting import Year

_SUMS = """
SELECT provider, count(*), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(amount)
FROM costs_ledgerentry WHERE tenant_id = %s AND occurred_at >= %s AND occurred_at < %s + 1 GROUP BY provider
"""


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Ours through the API; the peer in one statement for the two months, without the API's part."""
    year = Year(stack)
    since = (year.today.replace(day=1) - timedelta(days=1)).replace(day=1)
    yield Sides(ours=lambda: year.ours("stats"), peer=lambda: year.peer(_SUMS, [(since, year.today)]))


BENCHMARK = Benchmark(
    name="costs.stats",
    peer_name="a GROUP BY of the ledger's last two months, without the API",
    unit="ms, p95",
    sides=sides,
    processes=("web",),
    data="year",
    rounds=3,
)
