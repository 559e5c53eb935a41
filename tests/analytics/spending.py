"""Spend for tests of the admin's page Costs: through the ledger, whatever of it is rolled up by then."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.analytics import costs_page
from apps.costs.models import Budget, BudgetMode, BudgetPeriod, BudgetScope
from apps.costs.services import rollups
from apps.costs.services.budgets import create_budget
from apps.costs.services.forecasts import make_forecast
from apps.costs.services.partitions import ensure_ledger_partitions
from apps.notifications.models import Alert, Level
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.rolled import enter, row

# Monday to Sunday, in dollars of OpenAI's; Azure's are half of it.
AT = datetime(2026, 5, 14, 12, 45, tzinfo=UTC)  # a Thursday
WEEK = [50, 60, 55, 52, 70, 10, 5]


def stop_the_clock(patch: pytest.MonkeyPatch) -> None:
    """For whoever opens the page it is AT."""
    patch.setattr(costs_page, "timezone", SimpleNamespace(now=lambda: AT))


def partitions(today: date, *, days: int) -> None:
    """Of the months of so many days until today."""
    for number in range(0, days + 32, 28):
        ensure_ledger_partitions(today=today - timedelta(days=number))


def at_noon(tenant: Tenant, day: date) -> datetime:
    return datetime.combine(day, time(12), tzinfo=ZoneInfo(tenant.time_zone))


def spend(tenant: Tenant, price_id: int, *, days: Sequence[date], rolled: bool = True, **of: Any) -> None:
    entries = []
    for day in days:
        amount, at = Decimal(WEEK[day.weekday()]), at_noon(tenant, day)
        entries.append(row(tenant, price_id, occurred_at=at, amount=amount, **of))
        entries.append(
            row(tenant, price_id, occurred_at=at, amount=amount / 2, provider="azure", model="gpt-4o", **of)
        )
    enter(*entries)
    if rolled:
        rollups.roll_up()


def days_until(today: date, number: int) -> list[date]:
    """Today included."""
    return [today - timedelta(days=ago) for ago in range(number)]


def budget(tenant: Tenant, limit: int, *, now: datetime, **fields: Any) -> Budget:
    fields = {"mode": BudgetMode.STOP, "period": BudgetPeriod.MONTH, **fields}
    with system_transaction():
        return create_budget(tenant_id=tenant.pk, now=now, limit=Decimal(limit), **fields)


def alert(tenant: Tenant | None, *, subject: str, level: Level = Level.WARNING, **fields: Any) -> Alert:
    with system_transaction():
        return Alert.objects.create(
            **{
                "tenant_id": tenant and tenant.pk,
                "rule": "daily_cost",
                "subject": subject,
                "level": level,
                "message": f"{subject} is dear.",
                **fields,
            }
        )


def a_year(tenant: Tenant, *, now: datetime = AT) -> None:
    """Everything that the page can show, until today by the tenant's calendar."""
    today = now.astimezone(ZoneInfo(tenant.time_zone)).date()
    partitions(today, days=730)
    price_id = factories.price().pk
    account = factories.account(tenant=tenant)
    names = [f"Campaign № {number}: été" for number in range(12)] + ["A name of many words, " * 9]
    for number, name in enumerate(names):
        campaign = factories.campaign(tenant=tenant, accounts=[account], name=name)
        of = {"campaign_id": campaign.pk, "task_kind": f"kind-{number}"}
        spend(tenant, price_id, days=days_until(today, 20 + number), rolled=False, **of)
    spend(tenant, price_id, days=days_until(today, 500))
    budget(tenant, 30_000, now=now)
    budget(tenant, 1_000, now=now, period=BudgetPeriod.DAY, mode=BudgetMode.WATCH)
    budget(tenant, 4_000, now=now, period=BudgetPeriod.WEEK, mode=BudgetMode.SHADOW)
    scope = {"scope": BudgetScope.ACCOUNT, "scope_id": account.pk}
    of_account = budget(tenant, 123_456, now=now, mode=BudgetMode.SHADOW, **scope)
    with system_transaction():
        of_account.counters.update(spent=Decimal("100200.5"), held=Decimal("1234.5678"))
    make_forecast(tenant=tenant, now=now)
    for number in range(12):
        level = (Level.CRITICAL, Level.WARNING, Level.INFO)[number % 3]
        alert(
            tenant, subject=f"Day {number}", level=level, message="More than usual was spent. " * (number + 1)
        )
