"""64 callers in four processes on one budget: it is spent to its last bound and no further, whoever dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.costs.models import Budget, BudgetMode, Hold, HoldState
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.costs.crowd_process import BOUND
from tests.costs.spending import counters, dollar_price, entries, truth
from tests.services import ROOT
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

PROCESSES, THREADS = 4, 16
LIMIT = 100 * BOUND
NEVER = -1


class Crowd:
    """Processes that spend; those that are doomed have calls in flight by the time the others begin."""

    def __init__(self, doomed: "list[subprocess.Popen[str]]", others: "list[subprocess.Popen[str]]") -> None:
        self._doomed, self._others = doomed, others
        begin(doomed)
        for each in doomed:
            assert line_of(each) == "hanging"
        begin(others)

    def kill(self) -> None:
        """Those that are doomed, without a word to any of them."""
        for each in self._doomed:
            each.kill()
            assert each.wait() == -signal.SIGKILL

    def ended(self) -> dict[str, int]:
        """What the others met until the budget was exhausted."""
        met = [json.loads(line_of(each)) for each in self._others]
        return {name: sum(each[name] for each in met) for name in ("settled", "waits")}


def begin(processes: "list[subprocess.Popen[str]]") -> None:
    """All together."""
    for each in processes:
        assert line_of(each) == "ready"
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def crowd(tenant: Tenant, *, usage: int, doomed: int = 0) -> Iterator[Crowd]:
    """`doomed` of the processes hang in their threads' second call."""
    with ExitStack() as stack:
        processes = []
        for number in range(PROCESSES):
            hangs_after = 1 if number < doomed else NEVER
            arguments = (tenant.pk, THREADS, usage, hangs_after)
            processes.append(stack.enter_context(_process(*map(str, arguments))))
            stack.callback(processes[-1].kill)
        yield Crowd(processes[:doomed], processes[doomed:])


def _process(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.costs.crowd_process", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "huntaze.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def budget(agency: Tenant) -> Budget:
    """A hundred bounds."""
    dollar_price()
    return create_budget(tenant_id=agency.pk, limit=Decimal(LIMIT), now=timezone.now())


def spent_at_rest(tenant: Tenant) -> Decimal | int:
    """With nothing held any more, and counter, ledger and holds of one mind."""
    spent, held = truth(tenant)
    assert counters(tenant) == [(spent, held)]
    assert held == 0
    with tenant_transaction(tenant):
        assert not Hold.objects.filter(state=HoldState.HELD).exists()
    return spent


def test_who_uses_all_that_they_hold_spend_exactly_the_limit(agency: Tenant, budget: Budget) -> None:
    with crowd(agency, usage=BOUND) as callers:
        assert callers.ended()["settled"] == 100

    assert spent_at_rest(agency) == LIMIT
    assert len(entries(agency)) == 100


def test_who_use_a_fifth_of_it_wait_for_each_other_and_leave_less_than_one_bound(
    agency: Tenant, budget: Budget
) -> None:
    with crowd(agency, usage=BOUND // 5) as callers:
        met = callers.ended()

    assert met["waits"] > 0
    spent = spent_at_rest(agency)
    assert 0 <= LIMIT - spent < BOUND
    assert met["settled"] == spent / (BOUND // 5) == len(entries(agency))


@pytest.mark.parametrize("usage", [BOUND, BOUND // 5])
def test_what_killed_processes_held_is_settled_once_and_the_rest_is_spent(
    agency: Tenant, budget: Budget, usage: int
) -> None:
    """kill -9 of two processes, each of whose threads has a provider at work."""
    abandoned = 2 * THREADS

    with crowd(agency, usage=usage, doomed=2) as callers:
        callers.kill()
        wait_until(lambda: _only_the_dead_hold(agency, abandoned), seconds=60, what="the rest to be busy")
        spent, held = truth(agency)
        assert spent + held <= LIMIT
        assert holds.settle_abandoned(now=timezone.now()) == 0  # before its time it might be alive
        late = timezone.now() + timedelta(minutes=2)
        assert holds.settle_abandoned(now=late) == abandoned
        assert holds.settle_abandoned(now=late) == 0
        callers.ended()

    assert sum(entry.estimated for entry in entries(agency)) == abandoned
    assert 0 <= LIMIT - spent_at_rest(agency) < BOUND


def _only_the_dead_hold(tenant: Tenant, abandoned: int) -> bool:
    """The others find no room, and so hold nothing."""
    (spent, held) = counters(tenant)[0]
    return held == abandoned * BOUND and spent + held + BOUND > LIMIT


def test_shadow_mode_counts_each_of_a_crowds_calls_that_did_not_fit(agency: Tenant) -> None:
    """As many as a limit of nothing would have refused: all that there were."""
    dollar_price()
    shadow: dict[str, Any] = {"scope": "provider", "provider": "openai", "mode": BudgetMode.SHADOW}
    row = create_budget(tenant_id=agency.pk, limit=Decimal(0), now=timezone.now(), **shadow)
    create_budget(tenant_id=agency.pk, limit=Decimal(LIMIT), now=timezone.now())

    with crowd(agency, usage=BOUND) as callers:
        assert callers.ended()["settled"] == 100

    with tenant_transaction(agency):
        counter = row.counters.get()
    assert [counter.shadow_calls, counter.shadow_amount] == [100, LIMIT]
    assert [counter.spent, counter.held] == [LIMIT, 0]
