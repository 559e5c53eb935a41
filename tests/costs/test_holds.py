from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetMode, BudgetScope, Hold, HoldState
from apps.costs.pricing import Usage
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, NoPriceError
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import Held
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests import factories
from tests.costs.spending import MODEL, counters, dollar_price, dollars, entries, take, truth
from tests.costs.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def budget(agency: Tenant) -> Budget:
    """100 dollars a month, a hard stop."""
    dollar_price()
    return create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())


def test_a_hold_weighs_on_the_budget_and_its_settlement_replaces_it(agency: Tenant, budget: Budget) -> None:
    hold = take(agency, 40)
    assert counters(agency) == [(0, 40)]

    entry = holds.settle(hold=hold, usage=dollars(25), now=timezone.now())

    assert counters(agency) == [(25, 0)]
    assert entry is not None
    assert entry.amount == 25
    assert (entry.input_tokens, entry.estimated) == (25, False)
    assert entries(agency) == [entry]


def test_a_released_hold_leaves_nothing(agency: Tenant, budget: Budget) -> None:
    hold = take(agency, 40)

    assert holds.release(hold=hold, now=timezone.now())
    assert not holds.release(hold=hold, now=timezone.now())
    assert holds.settle(hold=hold, usage=dollars(25), now=timezone.now()) is None

    assert counters(agency) == [(0, 0)]
    assert entries(agency) == []


def test_unknown_usage_settles_at_the_bound_as_an_estimate(agency: Tenant, budget: Budget) -> None:
    entry = holds.settle(hold=take(agency, 40), usage=None, now=timezone.now())

    assert entry is not None
    assert entry.amount == 40
    assert entry.estimated
    assert counters(agency) == [(40, 0)]


def test_usage_that_comes_late_corrects_the_estimate_once(agency: Tenant, budget: Budget) -> None:
    hold = take(agency, 40)
    holds.settle(hold=hold, usage=None, now=timezone.now())

    correction = holds.settle(hold=hold, usage=dollars(25), now=timezone.now())
    again = holds.settle(hold=hold, usage=dollars(25), now=timezone.now())

    assert correction is not None
    assert correction.amount == -15
    assert (correction.sequence, correction.input_tokens) == (1, 25)
    assert again is None
    assert counters(agency) == [(25, 0)]


def test_usage_above_the_bound_is_recorded_in_full(agency: Tenant, budget: Budget) -> None:
    holds.settle(hold=take(agency, 90), usage=dollars(120), now=timezone.now())

    assert counters(agency) == [(120, 0)]


def test_a_spent_budget_refuses_and_says_why(agency: Tenant, budget: Budget) -> None:
    holds.settle(hold=take(agency, 70), usage=dollars(70), now=timezone.now())
    live = take(agency, 10)

    with pytest.raises(BudgetExhaustedError) as refused:
        take(agency, 31)

    ceiling = refused.value.ceiling
    assert ceiling.budget == budget
    assert [ceiling.spent, ceiling.held, ceiling.needed] == [70, 10, 31]
    assert "70" in refused.value.message
    assert "31" in refused.value.message
    assert counters(agency) == [(70, live.bound)]


def test_a_budget_that_only_holds_fill_is_busy(agency: Tenant, budget: Budget) -> None:
    live = take(agency, 90)
    with pytest.raises(BudgetBusyError):
        take(agency, 20)

    holds.settle(hold=live, usage=dollars(5), now=timezone.now())

    assert take(agency, 20).bound == 20


@pytest.mark.parametrize("busy_first", [True, False])
def test_a_spent_budget_is_told_of_before_a_busy_one_whichever_was_made_first(
    agency: Tenant, busy_first: bool
) -> None:
    dollar_price()
    account, now = uuid7(), timezone.now()
    ceilings: list[dict[str, Any]] = [
        {"limit": Decimal(60)},
        {"limit": Decimal(10), "scope": BudgetScope.ACCOUNT, "scope_id": account},
    ]
    for ceiling in ceilings if busy_first else reversed(ceilings):
        create_budget(tenant_id=agency.pk, now=now, **ceiling)
    holds.settle(hold=take(agency, 10, account_id=account), usage=dollars(10), now=now)
    others = take(agency, 50)
    before = counters(agency)

    with pytest.raises(BudgetExhaustedError) as refused:
        take(agency, 5, account_id=account)

    ceiling = refused.value.ceiling
    assert ceiling.budget.scope == BudgetScope.ACCOUNT
    assert [ceiling.budget.limit, ceiling.spent, ceiling.held, ceiling.needed] == [10, 10, 0, 5]
    assert counters(agency) == before
    holds.release(hold=others, now=now)
    assert take(agency, 5).bound == 5


def test_of_busy_budgets_the_first_is_told_whatever_the_others_that_do_not_stop_have_spent(
    agency: Tenant, budget: Budget
) -> None:
    account, campaign, now = uuid7(), uuid7(), timezone.now()
    for scope, whose, mode in [
        (BudgetScope.ACCOUNT, account, BudgetMode.STOP),
        (BudgetScope.CAMPAIGN, campaign, BudgetMode.SHADOW),
    ]:
        create_budget(tenant_id=agency.pk, scope=scope, scope_id=whose, mode=mode, limit=Decimal(20), now=now)
    holds.settle(hold=take(agency, 21, campaign_id=campaign), usage=dollars(21), now=now)
    take(agency, 60)
    take(agency, 15, account_id=account)
    before = counters(agency)

    with pytest.raises(BudgetBusyError) as refused:
        take(agency, 6, account_id=account, campaign_id=campaign)

    assert refused.value.ceiling.budget == budget
    assert [refused.value.ceiling.spent, refused.value.ceiling.held] == [21, 75]
    assert counters(agency) == before


def test_the_limit_itself_may_be_reached(agency: Tenant, budget: Budget) -> None:
    assert take(agency, 100).bound == 100


def test_a_refusal_of_one_budget_leaves_the_others_as_they_were(agency: Tenant, budget: Budget) -> None:
    campaign = uuid7()
    create_budget(
        tenant_id=agency.pk,
        scope=BudgetScope.CAMPAIGN,
        scope_id=campaign,
        limit=Decimal(10),
        now=timezone.now(),
    )

    with pytest.raises(BudgetExhaustedError):
        take(agency, 20, campaign_id=campaign)

    assert counters(agency) == [(0, 0), (0, 0)]


@pytest.mark.parametrize("scope", [scope for scope in BudgetScope if scope != BudgetScope.TENANT])
def test_a_budget_counts_only_what_it_is_for(agency: Tenant, scope: BudgetScope) -> None:
    dollar_price()
    dollar_price("azure")
    mine, other = uuid7(), uuid7()
    named: dict[str, Any] = {"provider": "azure"} if scope == "provider" else {"scope_id": mine}
    create_budget(tenant_id=agency.pk, scope=scope, limit=Decimal(10), now=timezone.now(), **named)

    def take_for(whom: UUID) -> Held:
        if scope == "provider":
            return take(agency, 8, provider="azure" if whom == mine else "openai")
        purpose: dict[str, Any] = {f"{scope}_id": whom}
        return take(agency, 8, **purpose)

    take_for(other)
    assert counters(agency) == [(0, 0)]
    take_for(mine)
    assert counters(agency) == [(0, 8)]
    with pytest.raises(BudgetBusyError):
        take_for(mine)


def test_a_soft_budget_counts_and_lets_pass(agency: Tenant) -> None:
    dollar_price()
    create_budget(tenant_id=agency.pk, limit=Decimal(10), mode=BudgetMode.WATCH, now=timezone.now())

    take(agency, 50)

    assert counters(agency) == [(0, 50)]


def test_the_generations_creation_decides_the_period(agency: Tenant, budget: Budget) -> None:
    now = timezone.now()
    last_month = now.replace(day=1) - timedelta(days=3)
    old = take(agency, 90, occurred_at=last_month, now=now)

    take(agency, 90, now=now)
    holds.settle(hold=old, usage=dollars(60), now=now)

    assert sorted(counters(agency)) == [(0, 90), (60, 0)]


def test_a_model_without_a_price_is_refused(agency: Tenant, budget: Budget) -> None:
    with pytest.raises(NoPriceError, match="gpt-unheard-of"):
        take(agency, 1, model="gpt-unheard-of")

    assert counters(agency) == [(0, 0)]


def test_a_price_holds_from_its_start_to_the_next_ones(agency: Tenant) -> None:
    march, may = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    earlier, later = (
        factories.price(model=MODEL, input_per_million=cents, output_per_million=1, starts_at=start)
        for cents, start in ((1, march), (2, may))
    )

    before, at_start = take(agency, 1, now=may - timedelta(seconds=1)), take(agency, 1, now=may)

    assert (before.price_id, at_start.price_id) == (earlier.pk, later.pk)
    with pytest.raises(NoPriceError):
        take(agency, 1, now=march - timedelta(seconds=1))


def test_another_tenants_calls_do_not_weigh(agency: Tenant, stranger: Tenant, budget: Budget) -> None:
    take(stranger, 500)

    assert counters(agency) == [(0, 0)]


def test_sixteen_threads_never_hold_more_than_the_budget(agency: Tenant, budget: Budget) -> None:
    def try_to_take(index: int) -> bool:
        try:
            take(agency, 9)
        except BudgetBusyError:
            return False
        return True

    taken = at_once(16, try_to_take)

    assert taken.count(True) == 11  # eleven times nine fit into 100
    assert counters(agency) == [(0, 99)]


def test_threads_on_several_budgets_neither_deadlock_nor_lose_count(agency: Tenant, budget: Budget) -> None:
    campaigns = [uuid7() for _ in range(4)]
    for campaign in campaigns:
        create_budget(
            tenant_id=agency.pk,
            scope=BudgetScope.CAMPAIGN,
            scope_id=campaign,
            limit=Decimal(40),
            now=timezone.now(),
        )

    def spend(index: int) -> None:
        for turn in range(6):
            try:
                hold = take(agency, 5, campaign_id=campaigns[(index + turn) % 4])
            except (BudgetBusyError, BudgetExhaustedError):
                continue
            assert counters(agency)[0][0] + counters(agency)[0][1] <= 100
            if turn % 3 == 2:
                holds.release(hold=hold, now=timezone.now())
            else:
                holds.settle(hold=hold, usage=dollars(3), now=timezone.now())

    at_once(16, spend)

    assert counters(agency)[0] == truth(agency)
    assert truth(agency)[0] <= 100
    assert sum(spent for spent, _held in counters(agency)[1:]) == counters(agency)[0][0]


def test_two_threads_that_settle_one_hold_write_one_entry(agency: Tenant, budget: Budget) -> None:
    for _ in range(10):
        hold = take(agency, 5)
        settle = partial(holds.settle, hold=hold, usage=dollars(1), now=timezone.now())
        written = at_once(2, lambda _: settle())  # noqa: B023  # it ends within the loop
        assert sum(entry is not None for entry in written) == 1

    assert len(entries(agency)) == 10
    assert counters(agency) == [(10, 0)]


def test_an_abandoned_hold_settles_at_its_bound_after_its_time(agency: Tenant, budget: Budget) -> None:
    now = timezone.now()
    hold = take(agency, 30, now=now)
    finished = take(agency, 10, now=now)
    holds.settle(hold=finished, usage=dollars(1), now=now)

    assert holds.settle_abandoned(now=now) == 0
    assert holds.settle_abandoned(now=hold.expires_at) == 1
    assert holds.settle_abandoned(now=hold.expires_at) == 0

    assert counters(agency) == [(31, 0)]
    with tenant_transaction(agency):
        assert Hold.objects.get(pk=hold.pk).state == HoldState.SETTLED
    assert [entry.estimated for entry in entries(agency)] == [False, True]


def test_sweeps_that_run_together_settle_each_hold_once(agency: Tenant, budget: Budget) -> None:
    now = timezone.now()
    for _ in range(12):
        take(agency, 2, now=now)

    settled = at_once(4, lambda _index: holds.settle_abandoned(now=now + timedelta(hours=1)))

    assert sum(settled) == 12
    assert counters(agency) == [(24, 0)]


def test_attempts_are_numbered_on(agency: Tenant) -> None:
    dollar_price()
    generation = uuid7()
    assert holds.last_attempt(tenant_id=agency.pk, generation_id=generation) == 0

    take(agency, 1, generation_id=generation, attempt=1)
    take(agency, 1, generation_id=generation, attempt=2)

    assert holds.last_attempt(tenant_id=agency.pk, generation_id=generation) == 2


def test_settling_takes_the_cached_share_into_account(agency: Tenant) -> None:
    factories.price(model=MODEL, input_per_million=100, cached_input_per_million=10, output_per_million=1000)
    hold = take(agency, 1000)

    entry = holds.settle(hold=hold, usage=Usage(1000, 0, 900), now=timezone.now())

    assert entry is not None
    assert entry.amount == Decimal("0.019")
    assert entry.price_id == hold.price_id
