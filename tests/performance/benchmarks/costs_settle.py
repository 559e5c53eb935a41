"""Attempts settled one by one, three budgets over each, against plain entering of the same costs."""

from collections.abc import Iterator
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.ledger import Ledger
from tests.performance.running import RoundError, measure, say

ENTRIES = 5_000
_HELD = "SELECT count(*) FROM costs_hold WHERE state = 'held'"
_ENTERED = "SELECT count(*) FROM costs_ledgerentry"
# A settlement that counted twice or not at all shows here.
_ASTRAY = """
SELECT count(*) FROM costs_budgetcounter AS counter
JOIN costs_budget AS budget ON budget.id = counter.budget_id
WHERE held <> 0 OR spent <> (SELECT sum(amount) FROM costs_ledgerentry WHERE tenant_id = budget.tenant_id)
"""


class Settlements:
    def __init__(self, stack: Stack) -> None:
        self._stack, self._ledger = stack, Ledger(stack)

    def ours(self) -> float:
        size, entered = self._ledger.bytes(), self._ledger.ask(_ENTERED)
        rate = measure("settle_load", str(ENTRIES), environment=self._stack.environment)
        new = self._ledger.ask(_ENTERED) - entered
        held, astray = self._ledger.ask(_HELD), self._ledger.ask(_ASTRAY)
        if (new, held, astray) != (ENTRIES, 0, 0):
            raise RoundError(f"{new:,} entries of {ENTRIES:,}, {held} still held, {astray} counters astray")
        each = (self._ledger.bytes() - size) / ENTRIES
        say(f"ours: {rate:,.0f} entries settled a second, {each:.0f} bytes each with indexes")
        return rate

    def peer(self) -> float:
        given = (self._stack.urls.superuser, str(ENTRIES))
        return measure("peers.plain_settlement", *given, environment=self._stack.environment)


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    settlements = Settlements(stack)
    yield Sides(ours=settlements.ours, peer=settlements.peer)


BENCHMARK = Benchmark(
    name="costs.settle",
    peer_name="three counters raised and a row inserted, without a hold",
    unit="entries/s",
    sides=sides,
    data="settlements",
    rounds=3,
)
