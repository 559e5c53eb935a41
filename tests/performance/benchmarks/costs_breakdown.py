"""What a tenant has spent in 30 and in 365 days, by pairs of dimensions, against sums of the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import md5
from uuid import UUID

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.reporting import DAYS, Year
from tests.performance.running import say

PAIRS = ("provider,model", "campaign,model", "month,task_kind", "account,user", "day,model")
# By day and what was called, for one campaign of the tenant: no narrow roll-up gives that.
OF_ONE = f"day,model&campaign={UUID(md5(b'campaign 0').hexdigest())}"  # noqa: S324 -- an id
ASKED = {**{pair: pair for pair in PAIRS}, "day,model of a campaign": OF_ONE}
_SUMS = """
SELECT provider, model, count(*), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(amount)
FROM costs_ledgerentry WHERE tenant_id = %s AND occurred_at >= %s AND occurred_at < %s + 1
GROUP BY provider, model
"""


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Ours through the API, of all that is asked; the peer by provider and model, without the API's part."""
    year = Year(stack)
    spans = [(year.today - timedelta(days=days - 1), year.today) for days in (30, DAYS)]
    paths = [f"breakdown?from={first}&to={last}&by={{}}" for first, last in spans]

    def ours() -> float:
        for (first, last), path in zip(spans, paths, strict=True):
            figures = ", ".join(f"{name} {year.ours(path.format(by)):.0f}" for name, by in ASKED.items())
            say(f"p95 of {(last - first).days + 1} days in ms: {figures}")
        return year.ours(*(path.format(by) for path in paths for by in ASKED.values()))

    yield Sides(ours=ours, peer=lambda: year.peer(_SUMS, spans))


BENCHMARK = Benchmark(
    name="costs.breakdown",
    peer_name="a GROUP BY of the ledger's days, without the API",
    unit="ms, p95",
    sides=sides,
    processes=("web",),
    data="year",
    rounds=3,
    warm_up=False,
)
