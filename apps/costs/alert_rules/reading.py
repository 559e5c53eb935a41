from typing import Any

from django.db import connection

from apps.tenants.models import Tenant


def time_zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
