"""A budget that stops, one that only says what it would have stopped, one that only watches."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetScope
from apps.costs.refusals import BudgetExhaustedError
from apps.costs.services import holds
from apps.costs.services.budgets import change_budget, create_budget
from apps.costs.services.holds import Held
from apps.notifications.services import rules
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.costs.spending import counters, dollar_price, dollars, take, truth
from tests.costs.threads import at_once
from tests.notifications.alerting import alerts
from tests.tenants.answers import lose_answers

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _price(db: None) -> None:
    dollar_price()


def budget(tenant: Tenant, limit: int = 10, mode: BudgetMode = BudgetMode.SHADOW, **fields: Any) -> Budget:
    return create_budget(tenant_id=tenant.pk, limit=Decimal(limit), mode=mode, now=timezone.now(), **fields)


def counted(row: Budget) -> tuple[int, Decimal | int]:
    """What shadow mode has counted in the budget's only period."""
    with tenant_transaction(row.tenant_id):
        counter = BudgetCounter.objects.get(budget=row)
    return counter.shadow_calls, counter.shadow_amount


def spend(tenant: Tenant, amount: int, **purpose: Any) -> Held:
    hold = take(tenant, amount, **purpose)
    holds.settle(hold=hold, usage=dollars(amount), now=timezone.now())
    return hold


def test_shadow_mode_lets_pass_and_counts_what_it_would_have_refused(agency: Tenant) -> None:
    row = budget(agency)

    spend(agency, 10)
    assert counted(row) == (0, 0)  # the limit itself may be reached
    spend(agency, 3)
    spend(agency, 4)

    assert counted(row) == (2, 7)
    assert counters(agency) == [(17, 0)] == [truth(agency)]


def test_what_is_held_counts_like_what_is_spent(agency: Tenant) -> None:
    row = budget(agency)
    first = take(agency, 8)

    second = take(agency, 3)

    assert counted(row) == (1, 3)
    for hold in (first, second):
        holds.release(hold=hold, now=timezone.now())
    assert counted(row) == (1, 3)
    assert counters(agency) == [(0, 0)]


@pytest.mark.parametrize("mode", [BudgetMode.STOP, BudgetMode.WATCH])
def test_the_other_modes_count_no_such_calls(agency: Tenant, mode: BudgetMode) -> None:
    row = budget(agency, mode=mode)
    spend(agency, 10)

    if mode == BudgetMode.STOP:
        with pytest.raises(BudgetExhaustedError):
            take(agency, 1)
    else:
        take(agency, 1)

    assert counted(row) == (0, 0)


def test_a_call_that_another_budget_refuses_is_not_counted(agency: Tenant) -> None:
    """Whichever of the two counters comes first."""
    campaign = uuid7()
    of_campaign: dict[str, Any] = {"scope": BudgetScope.CAMPAIGN, "scope_id": campaign}
    before = budget(agency)
    stopping = budget(agency, 20, BudgetMode.STOP, **of_campaign)
    user = uuid7()
    after = budget(agency, scope=BudgetScope.USER, scope_id=user)

    with pytest.raises(BudgetExhaustedError):
        take(agency, 21, campaign_id=campaign, user_id=user)

    assert counted(before) == counted(after) == (0, 0)
    assert counters(agency) == [(0, 0)] * 3
    take(agency, 19, campaign_id=campaign, user_id=user)
    assert counted(before) == counted(after) == (1, 19)
    assert counted(stopping) == (0, 0)


def test_a_call_that_is_sent_again_is_counted_once(agency: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    row = budget(agency)
    lost = lose_answers(monkeypatch)

    take(agency, 11)

    assert lost == ["costs_take_hold"] * 2
    assert counted(row) == (1, 11)
    assert counters(agency) == [(0, 11)]


def test_many_at_once_are_each_counted(agency: Tenant) -> None:
    row = budget(agency, 20)

    at_once(16, lambda _: spend(agency, 2))

    calls, amount = counted(row)
    assert amount == 2 * calls
    assert 6 <= calls <= 16  # ten of them fit, if each waits for the one before
    assert counters(agency) == [(32, 0)] == [truth(agency)]


def test_another_limit_counts_anew_and_earlier_periods_keep_their_counts(agency: Tenant) -> None:
    row, now = budget(agency), timezone.now()
    last_month = now.replace(day=1) - timedelta(days=3)
    take(agency, 12, occurred_at=last_month)
    take(agency, 11)

    change_budget(budget=row, limit=Decimal(10), thresholds=[50], now=now)
    assert shadow_by_period(row) == [(1, 12), (1, 11)]
    change_budget(budget=row, limit=Decimal(30), now=now)
    assert shadow_by_period(row) == [(1, 12), (0, 0)]
    take(agency, 20)

    assert shadow_by_period(row) == [(1, 12), (1, 20)]


def shadow_by_period(row: Budget) -> list[tuple[int, Decimal | int]]:
    with tenant_transaction(row.tenant_id):
        rows = row.counters.order_by("period_start")
        return [(each.shadow_calls, each.shadow_amount) for each in rows]


def test_a_budget_that_is_switched_off_and_on_keeps_what_it_has_counted(agency: Tenant) -> None:
    row, now = budget(agency), timezone.now()
    spend(agency, 11)

    change_budget(budget=row, is_active=False, now=now)
    spend(agency, 5)
    change_budget(budget=row, is_active=True, now=now)

    assert counted(row) == (1, 11)
    assert counters(agency) == [(16, 0)]


def test_a_budget_may_go_from_shadow_to_stop_and_back(agency: Tenant) -> None:
    row, now = budget(agency), timezone.now()
    spend(agency, 11)

    change_budget(budget=row, mode=BudgetMode.STOP, now=now)
    with pytest.raises(BudgetExhaustedError):
        take(agency, 1)
    change_budget(budget=row, mode=BudgetMode.SHADOW, now=now)
    take(agency, 1)

    assert counted(row) == (2, 12)


def test_what_shadow_mode_would_stop_is_told_of_once_for_a_period_and_limit(
    agency: Tenant, stranger: Tenant
) -> None:
    row, now = budget(agency), timezone.now()
    spend(agency, 10)
    rules.evaluate_rules(now=now)
    assert alerts("budget_shadow") == []

    for _ in range(2):
        spend(agency, 1)
        rules.evaluate_rules(now=now)

    (alert,) = alerts("budget_shadow")
    assert (alert.tenant_id, alert.subject, alert.level) == (agency.pk, str(row.pk), "warning")
    assert alert.message.startswith(
        "In shadow mode, the budget of 10.00 USD a month would have refused 1 call of up to 1.00 USD since "
    )
    assert (alert.data["calls"], alert.data["amount"]) == (1, "1.00")
    change_budget(budget=row, limit=Decimal(12), now=now)
    rules.evaluate_rules(now=now)
    assert len(alerts("budget_shadow")) == 1  # nothing has been too much for the new limit yet
    spend(agency, 1)
    rules.evaluate_rules(now=now)
    assert len(alerts("budget_shadow")) == 2
    assert alerts("budget_exceeded") == []  # it refuses nothing, so it is told of by the other two


@pytest.mark.parametrize("change", [{"mode": BudgetMode.WATCH}, {"is_active": False}])
def test_a_budget_that_is_no_longer_in_shadow_mode_is_not_told_of(
    agency: Tenant, change: dict[str, Any]
) -> None:
    row, now = budget(agency), timezone.now()
    spend(agency, 11)
    change_budget(budget=row, now=now, **change)

    rules.evaluate_rules(now=now)

    assert alerts("budget_shadow") == []


def test_another_tenants_calls_are_no_matter_of_it(agency: Tenant, stranger: Tenant) -> None:
    row = budget(agency)

    take(stranger, 50)

    assert counted(row) == (0, 0)


def hard_stop_of(row: Budget) -> tuple[bool, str]:
    with tenant_transaction(row.tenant_id), connection.cursor() as cursor:
        cursor.execute("SELECT hard_stop, mode FROM costs_budget WHERE id = %s", [row.pk])
        found: tuple[bool, str] = cursor.fetchone()
        return found


def test_code_that_knows_no_modes_may_still_serve(agency: Tenant) -> None:
    """It names `hard_stop` in its statements, and all columns that it knows when it saves a row."""
    row, now = budget(agency, mode=BudgetMode.WATCH), timezone.now()
    assert hard_stop_of(row) == (False, "watch")
    change_budget(budget=row, mode=BudgetMode.STOP, now=now)
    assert hard_stop_of(row) == (True, "stop")
    change_budget(budget=row, mode=BudgetMode.SHADOW, now=now)
    assert hard_stop_of(row) == (False, "shadow")

    old_saves = 'UPDATE costs_budget SET hard_stop = %s, "limit" = 7 WHERE id = %s'
    with tenant_transaction(agency), connection.cursor() as cursor:
        cursor.execute(old_saves, [False, row.pk])
    assert hard_stop_of(row) == (False, "shadow")
    with tenant_transaction(agency), connection.cursor() as cursor:
        cursor.execute(old_saves, [True, row.pk])
    assert hard_stop_of(row) == (True, "stop")

    old_makes = (
        'INSERT INTO costs_budget (id, tenant_id, scope, provider, period, "limit", currency, hard_stop,'
        " thresholds, is_active) VALUES (%s, %s, 'tenant', '', %s, 5, 'USD', %s, '{80}', true)"
    )
    for period, hard_stop, mode in (("day", False, "watch"), ("week", True, "stop")):
        with tenant_transaction(agency), connection.cursor() as cursor:
            cursor.execute(old_makes, [uuid7(), agency.pk, period, hard_stop])
        with tenant_transaction(agency):
            assert hard_stop_of(Budget.objects.get(period=period)) == (hard_stop, mode)


def test_no_statement_is_added_for_budgets_that_do_not_count_in_shadow(agency: Tenant) -> None:
    """PostgreSQL's own count of the rows that were written, so that none can hide in the function."""
    budget(agency, mode=BudgetMode.STOP)
    within = budget(agency, 100, scope=BudgetScope.PROVIDER, provider="openai")

    with tenant_transaction(agency):
        before = _updates()
        take(agency, 4)
        assert _updates() - before == 2  # one of each counter
        change_budget(budget=within, limit=Decimal(7), now=timezone.now())
        before = _updates()
        take(agency, 4)
        assert _updates() - before == 3


def _updates() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_get_xact_tuples_updated('costs_budgetcounter'::regclass)")
        found: int = cursor.fetchone()[0]
        return found
