from collections.abc import Iterator
from typing import Any

from django.db import connection

from apps.costs.alert_rules.wording import Whose
from apps.costs.models import Budget
from apps.tenants.models import Tenant


def time_zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def of_budgets(statement: str, values: Any) -> Iterator[tuple[Any, ...]]:
    """Of rows that begin with tenant, id, scope, scope_id and provider, the last three as one `Whose`."""
    found = rows(statement, values)
    budgets = Budget.objects.filter(pk__in={budget for _, budget, *_ in found}).with_scope_names()
    names = {each.pk: each.scope_name for each in budgets}
    for tenant, budget, scope, scope_id, provider, *rest in found:
        yield tenant, budget, Whose(scope, scope_id, provider, names.get(budget) or ""), *rest
