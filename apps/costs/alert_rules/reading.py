from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connection

from apps.costs.alert_rules.wording import Whose
from apps.costs.subjects import names_of
from apps.tenants.models import Tenant

# What was asked before a period's end may be settled so long after it.
SETTLED_LATE = timedelta(minutes=10)


def time_zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def of_budgets(statement: str, values: Any) -> Iterator[tuple[Any, ...]]:
    """Of rows that begin with tenant, id, scope, scope_id and provider, the last three as one `Whose`."""
    found = rows(statement, values)
    names = names_of({(tenant, scope, scope_id) for tenant, _, scope, scope_id, *_ in found if scope_id})
    for tenant, budget, scope, scope_id, provider, *rest in found:
        whose = Whose(scope, scope_id, provider, names.get((tenant, scope, scope_id), ""))
        yield tenant, budget, whose, *rest
