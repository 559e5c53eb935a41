from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.ai.models import Provider
from apps.common.errors import ConflictError, InvalidInputError
from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetPeriod, BudgetScope
from apps.costs.price_list import PROVIDERS
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError
from apps.costs.services import holds
from apps.costs.services.budgets import change_budget, change_time_zone, create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.costs.spending import counters, dollar_price, dollars, take, truth
from tests.costs.threads import at_once
from tests.killing import killed_before

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _price(db: None) -> None:
    dollar_price()


def test_a_new_budget_counts_what_its_period_has_spent_and_holds(agency: Tenant) -> None:
    now = timezone.now()
    holds.settle(hold=take(agency, 40), usage=dollars(30), now=now)
    live = take(agency, 20)
    released = take(agency, 7)
    holds.release(hold=released, now=now)

    create_budget(tenant_id=agency.pk, limit=Decimal(60), now=now)

    assert counters(agency) == [(30, 20)]
    with pytest.raises(BudgetBusyError):
        take(agency, 11)
    holds.settle(hold=live, usage=dollars(5), now=now)
    assert counters(agency) == [(35, 0)]


def test_a_new_budget_leaves_out_other_periods_and_purposes(agency: Tenant) -> None:
    now = timezone.now()
    campaign = uuid7()
    take(agency, 1, occurred_at=now - timedelta(days=2), campaign_id=campaign)
    take(agency, 2, campaign_id=uuid7())
    take(agency, 4, campaign_id=campaign)

    create_budget(
        tenant_id=agency.pk,
        scope=BudgetScope.CAMPAIGN,
        scope_id=campaign,
        period=BudgetPeriod.DAY,
        limit=Decimal(60),
        now=now,
    )

    assert counters(agency) == [(0, 4)]


def test_a_second_budget_for_the_same_is_refused(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(60), now=timezone.now())

    with pytest.raises(ConflictError):
        create_budget(tenant_id=agency.pk, limit=Decimal(70), now=timezone.now())


@pytest.mark.parametrize("number", range(1, 12))
def test_a_budget_whose_making_is_killed_is_there_as_a_whole_or_not_at_all(
    agency: Tenant, number: int
) -> None:
    hold, now = take(agency, 20), timezone.now()

    with killed_before(number):
        create_budget(tenant_id=agency.pk, limit=Decimal(60), now=now)

    if not counters(agency):
        with tenant_transaction(agency):
            assert not Budget.objects.exists()
        create_budget(tenant_id=agency.pk, limit=Decimal(60), now=now)
    assert counters(agency) == [(0, 20)]
    holds.settle(hold=hold, usage=dollars(5), now=now)
    assert counters(agency) == [(5, 0)]


@pytest.mark.parametrize("number", range(1, 12))
def test_a_change_that_is_killed_has_changed_all_or_nothing(agency: Tenant, number: int) -> None:
    now = timezone.now()
    budget = create_budget(tenant_id=agency.pk, limit=Decimal(10), mode=BudgetMode.SHADOW, now=now)
    take(agency, 20)

    with killed_before(number):
        change_budget(budget=budget, limit=Decimal(50), mode=BudgetMode.STOP, now=now)

    with tenant_transaction(agency):
        found, counter = Budget.objects.get(), BudgetCounter.objects.get()
    assert [found.limit, found.mode, counter.shadow_calls] in ([10, "shadow", 1], [50, "stop", 0])
    assert counter.held == 20


def test_a_budget_in_another_currency_than_the_ledgers_is_refused(agency: Tenant) -> None:
    with pytest.raises(InvalidInputError, match="JPY"):
        create_budget(tenant_id=agency.pk, limit=Decimal(60), currency="JPY", now=timezone.now())


@pytest.mark.parametrize("provider", ["Open AI", "OpenAI", ""])
def test_a_budget_for_a_provider_that_nobody_calls_is_refused(provider: str, agency: Tenant) -> None:
    """It would count nothing, and so refuse nothing."""
    of_provider = {"tenant_id": agency.pk, "scope": BudgetScope.PROVIDER, "limit": Decimal(60)}

    with pytest.raises(InvalidInputError, match="openai, azure"):
        create_budget(provider=provider, now=timezone.now(), **of_provider)  # type: ignore[arg-type]
    with pytest.raises(ValidationError) as refused:
        Budget(provider=provider, **of_provider).clean()

    assert refused.value.message_dict == {"provider": ["Budgets are for one of openai, azure."]}
    with tenant_transaction(agency):
        assert not Budget.objects.exists()


def test_the_providers_that_are_called_are_those_that_budgets_are_for(agency: Tenant) -> None:
    assert set(PROVIDERS) == set(Provider.values)
    dollar_price(provider="azure")

    for provider in PROVIDERS:
        create_budget(
            tenant_id=agency.pk,
            scope=BudgetScope.PROVIDER,
            provider=provider,
            limit=Decimal(60),
            now=timezone.now(),
        )
        take(agency, 7, provider=provider)

    assert counters(agency) == [(0, 7), (0, 7)]


def test_a_lower_limit_refuses_from_then_on_and_a_higher_one_allows(agency: Tenant) -> None:
    now = timezone.now()
    budget = create_budget(tenant_id=agency.pk, limit=Decimal(60), now=now)
    holds.settle(hold=take(agency, 50), usage=dollars(50), now=now)

    change_budget(budget=budget, limit=Decimal(40), now=now)
    with pytest.raises(BudgetExhaustedError):
        take(agency, 1)
    change_budget(budget=budget, limit=Decimal(80), now=now)

    assert take(agency, 30).bound == 30


def test_a_budget_that_is_switched_on_again_counts_what_it_missed(agency: Tenant) -> None:
    now = timezone.now()
    budget = create_budget(tenant_id=agency.pk, limit=Decimal(60), now=now)
    before = take(agency, 5)
    change_budget(budget=budget, is_active=False, now=now)
    holds.settle(hold=take(agency, 100), usage=dollars(100), now=now)
    during = take(agency, 20)

    change_budget(budget=budget, is_active=True, now=now)

    assert counters(agency) == [(100, 25)]
    for hold in (before, during):
        holds.settle(hold=hold, usage=dollars(1), now=now)
    assert counters(agency) == [(102, 0)]


def test_mode_and_thresholds_can_be_changed(agency: Tenant) -> None:
    budget = create_budget(tenant_id=agency.pk, limit=Decimal(1), now=timezone.now())

    budget = change_budget(budget=budget, mode=BudgetMode.WATCH, thresholds=[90], now=timezone.now())

    assert (budget.mode, budget.thresholds) == ("watch", [90])
    assert take(agency, 5).bound == 5


def test_another_time_zone_moves_the_days_that_budgets_count(agency: Tenant) -> None:
    late, early = datetime(2026, 11, 10, 22, tzinfo=UTC), datetime(2026, 11, 11, 1, tzinfo=UTC)
    create_budget(tenant_id=agency.pk, period=BudgetPeriod.DAY, limit=Decimal(60), now=early)
    take(agency, 1, now=late)
    take(agency, 2, now=early)
    assert sorted(counters(agency)) == [(0, 1), (0, 2)]

    change_time_zone(tenant=agency, time_zone="Europe/Athens", now=early)

    with tenant_transaction(agency):
        counter = BudgetCounter.objects.get()
    assert str(counter.period_start) == "2026-11-11"
    assert counter.held == 3


def test_an_unknown_time_zone_is_refused(agency: Tenant) -> None:
    with pytest.raises(ValidationError):
        change_time_zone(tenant=agency, time_zone="Mars/Olympus", now=timezone.now())


def test_a_budget_made_while_calls_run_ends_up_right(agency: Tenant) -> None:
    """Fifteen threads spend while the sixteenth sets the limit."""

    def work(index: int) -> None:
        if index == 0:
            create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=timezone.now())
            return
        for turn in range(5):
            hold = take(agency, 4)
            if turn % 2:
                holds.settle(hold=hold, usage=dollars(3), now=timezone.now())

    at_once(16, work)

    assert counters(agency) == [truth(agency)]


def test_a_late_correction_reaches_budgets_that_were_made_after_the_call(agency: Tenant) -> None:
    now = timezone.now()
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=now)
    hold = take(agency, 30)
    holds.settle(hold=hold, usage=None, now=now)
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=now, period=BudgetPeriod.DAY)
    create_budget(
        tenant_id=agency.pk, limit=Decimal(1000), now=now, scope=BudgetScope.PROVIDER, provider="azure"
    )

    holds.settle(hold=hold, usage=dollars(12), now=now)

    assert counters(agency) == [(12, 0), (12, 0), (0, 0)]
