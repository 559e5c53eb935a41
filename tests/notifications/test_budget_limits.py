"""What is told of budgets that corrections have raised, and of those whose limit is nothing."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetPeriod
from apps.costs.services import holds, thresholds
from apps.costs.services.budgets import change_budget, create_budget
from apps.notifications.services import rules
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.costs.spending import dollar_price, dollars, take
from tests.notifications.alerting import alerts
from tests.notifications.test_cost_rules import NOON, spend

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOON + timedelta(days=3)


def of_days(tenant: Tenant, limit: int, **fields: Any) -> Budget:
    dollar_price(starts_at=NOON - timedelta(days=30))
    return create_budget(
        tenant_id=tenant.pk, limit=Decimal(limit), period=BudgetPeriod.DAY, now=NOON, **fields
    )


def lose(tenant: Tenant, bound: int) -> Any:
    hold = take(tenant, bound, now=NOON)
    holds.settle(hold=hold, usage=None, now=NOON)
    return hold


def told(now: Any = LATER) -> list[tuple[str, str]]:
    rules.evaluate_rules(now=now)
    return [
        (alert.rule, alert.period.partition(" ")[2])
        for name in ("threshold", "exceeded", "shadow")
        for alert in alerts(f"budget_{name}")
    ]


def test_a_correction_tells_nothing_of_a_limit_that_was_lowered_since(agency: Tenant) -> None:
    budget = of_days(agency, 100)
    lost = lose(agency, 90)
    change_budget(budget=budget, limit=Decimal(60), now=LATER)
    holds.settle(hold=lost, usage=dollars(91), now=LATER)
    assert told() == []


@pytest.mark.parametrize("now", [NOON, LATER])
def test_a_correction_is_not_blamed_for_what_was_above_the_limit_before(agency: Tenant, now: Any) -> None:
    of_days(agency, 10, mode=BudgetMode.WATCH, thresholds=[])
    spend(agency, 88, now=NOON)
    holds.settle(hold=lose(agency, 2), usage=dollars(3), now=now)
    assert told(now) == []


def test_several_corrections_tell_of_what_they_have_raised_together(agency: Tenant) -> None:
    of_days(agency, 10, mode=BudgetMode.WATCH, thresholds=[90])
    lost = [lose(agency, 2) for _ in range(4)]
    holds.settle(hold=lost[0], usage=dollars(3), now=LATER)
    holds.settle(hold=lost[1], usage=dollars(4), now=LATER + timedelta(hours=1))
    assert told(LATER + timedelta(hours=2)) == [
        ("budget_threshold", "90% of 10.00"),
        ("budget_exceeded", "of 10.00"),
    ]
    with tenant_transaction(agency):
        assert BudgetCounter.objects.get(spent=11).raised_by == 3

    holds.settle(hold=lost[2], usage=dollars(1), now=LATER + timedelta(hours=3))
    with tenant_transaction(agency):
        assert BudgetCounter.objects.get(spent=10).raised_by == 2
    holds.settle(hold=lost[3], usage=dollars(3), now=LATER + timedelta(days=2))
    with tenant_transaction(agency):
        assert BudgetCounter.objects.get(spent=11).raised_by == 1


def test_what_was_lowered_long_after_a_raise_has_raised_nothing(agency: Tenant) -> None:
    of_days(agency, 10, mode=BudgetMode.WATCH)
    first, second = lose(agency, 2), lose(agency, 2)
    holds.settle(hold=first, usage=dollars(3), now=LATER)
    holds.settle(hold=second, usage=dollars(1), now=LATER + timedelta(days=2))
    with tenant_transaction(agency):
        assert BudgetCounter.objects.get(spent=4).raised_by == 0


@pytest.mark.parametrize(
    ("mode", "rule"),
    [("stop", "budget_exceeded"), ("watch", "budget_exceeded"), ("shadow", "budget_shadow")],
)
def test_of_a_limit_of_nothing_one_alert_says_that_something_was_spent(
    agency: Tenant, mode: BudgetMode, rule: str
) -> None:
    budget = of_days(agency, 100, mode=mode)
    if mode == "stop":
        spend(agency, 2, now=NOON)
    change_budget(budget=budget, limit=Decimal(0), now=NOON)
    if mode != "stop":
        spend(agency, 2, now=NOON)
    assert thresholds.check_budgets(tenant_id=agency.pk, now=NOON) == 0
    assert told(NOON) == told(NOON) == [(rule, "of 0.00")]
    (alert,) = alerts(rule)
    assert "%" not in alert.message
    if rule == "budget_exceeded":
        assert alert.message.startswith("2.00 USD are spent of the budget of nothing a day since ")


def test_a_limit_of_nothing_without_thresholds_only_watches(agency: Tenant) -> None:
    of_days(agency, 0, mode=BudgetMode.WATCH, thresholds=[])
    spend(agency, 2, now=NOON)
    assert told(NOON) == []
