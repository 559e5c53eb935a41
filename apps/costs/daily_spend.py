"""A tenant's spend day by day, from the roll-ups and their tail: what forecasts and counters are made of."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.costs.models import Budget, BudgetScope
from apps.costs.rollup_reading import Dimension, of_range, summed

Days = dict[date, Decimal]

_DIMENSIONS = {
    BudgetScope.PROVIDER: Dimension.PROVIDER,
    BudgetScope.ACCOUNT: Dimension.ACCOUNT,
    BudgetScope.CAMPAIGN: Dimension.CAMPAIGN,
    BudgetScope.USER: Dimension.USER,
}


def of_tenant(*, tenant_id: UUID, since: date, until: date) -> Days:
    """Of all that a tenant's questions cost; days without any are left out."""
    found = summed(of_range(tenant_id, since, until, by=[Dimension.DAY]), Dimension.DAY.column)
    return {day: sums[-1] for day, *sums in found}


def of_budget(budget: Budget, *, since: date, until: date) -> Days:
    """Of what weighs on a budget."""
    if budget.scope == BudgetScope.TENANT:
        return of_tenant(tenant_id=budget.tenant_id, since=since, until=until)
    whose = budget.provider if budget.scope == BudgetScope.PROVIDER else budget.scope_id
    found = by_scope(tenant_id=budget.tenant_id, since=since, until=until, scope=budget.scope, values=[whose])
    return found[whose]


def by_scope(
    *, tenant_id: UUID, since: date, until: date, scope: str, values: Iterable[Any]
) -> dict[Any, Days]:
    """The same for each of some providers, accounts, campaigns or users, those without spend included."""
    by = _DIMENSIONS[BudgetScope(scope)]
    found: dict[Any, Days] = {each: {} for each in values}
    source = of_range(tenant_id, since, until, by=[Dimension.DAY, by])
    rows = summed(source, Dimension.DAY.column, by.column, only={by.column: list(found)})
    for day, value, *sums in rows:
        found[value][day] = sums[-1]
    return found


def filled(days: Days, *, since: date, until: date) -> list[Decimal]:
    """Every day from `since` to before `until`, zeros included."""
    return [
        days.get(since + timedelta(days=number), Decimal(0)) for number in range(max(0, (until - since).days))
    ]
