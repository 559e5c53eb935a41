"""How much of each budget is left, as Prometheus reads it."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.costs import metrics
from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetPeriod
from apps.costs.periods import period_start
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.scraping import scrape

pytestmark = pytest.mark.django_db


def budget(
    tenant: Tenant, *, spent: str = "", held: str = "0", at: datetime | None = None, **fields: Any
) -> Budget:
    """A budget of 10 a day, with what its period at an instant has spent and holds."""
    with system_transaction():
        row = Budget.objects.create(
            tenant_id=tenant.pk, **{"limit": Decimal(10), "period": BudgetPeriod.DAY, **fields}
        )
        if spent:
            start = period_start(row.period, at=at or timezone.now(), time_zone=tenant.time_zone)
            BudgetCounter.objects.create(
                tenant_id=tenant.pk, budget=row, period_start=start, spent=spent, held=held
            )
    return row


def ratios(now: datetime) -> dict[str, float]:
    with system_transaction():
        (family,) = metrics.budgets_remaining(now)
    return {sample.labels["budget"]: sample.value for sample in family.samples}


def test_what_is_neither_spent_nor_held_is_left(agency: Tenant) -> None:
    row = budget(agency, spent="2.5", held="0.5")
    key = ("huntaze_budget_remaining_ratio", str(row.pk), "day", "tenant", str(agency.pk))
    assert scrape()[key] == pytest.approx(0.7)


def test_a_budget_that_nothing_was_spent_of_is_whole_and_one_of_nothing_is_empty(agency: Tenant) -> None:
    whole, nothing = budget(agency), budget(agency, limit=Decimal(0), period=BudgetPeriod.WEEK)
    assert ratios(timezone.now()) == {str(whole.pk): 1, str(nothing.pk): 0}


def test_budgets_that_only_alert_or_are_off_are_left_out(agency: Tenant) -> None:
    budget(agency, mode=BudgetMode.WATCH)
    budget(agency, is_active=False, period=BudgetPeriod.WEEK)
    assert ratios(timezone.now()) == {}


def test_the_present_period_is_the_one_by_the_tenants_own_clock() -> None:
    far = factories.tenant(time_zone="Pacific/Auckland")
    evening = datetime(2026, 3, 1, 20, tzinfo=UTC)  # the 2nd in Auckland, where the day is as good as new
    row = budget(far, spent="9", at=datetime(2026, 3, 1, 5, tzinfo=UTC))
    assert ratios(evening) == {str(row.pk): 1}
    assert ratios(datetime(2026, 3, 1, 6, tzinfo=UTC)) == {str(row.pk): pytest.approx(0.1)}


def test_of_too_many_those_with_the_least_left_are_shown(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "BUDGETS_AT_MOST", 1)
    budget(agency, spent="1")
    tight = budget(agency, spent="9", period=BudgetPeriod.MONTH)
    assert ratios(timezone.now()) == {str(tight.pk): pytest.approx(0.1)}
