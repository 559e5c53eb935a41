from datetime import timedelta
from typing import Any

from django.db import connection

from apps.tenants.models import Tenant

# What was asked before a period's end may be settled so long after it.
SETTLED_LATE = timedelta(minutes=10)


def time_zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
