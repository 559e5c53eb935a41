"""What has to hold before anything starts (`manage.py check --database default`)."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

from apps.tenants.roles import refuse_powerful_role


@register(Tags.database)
def application_role_is_harmless(
    app_configs: Sequence[AppConfig] | None = None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """DATABASE_URL must name a role that the policies of the tables hold for."""
    if "default" not in (databases or []):
        return []
    with connections["default"].cursor() as cursor:
        problem = refuse_powerful_role(lambda query: _execute(cursor, query))
    if not problem:
        return []
    hint = "Let DATABASE_URL log in as huntaze_app (deploy/roles.sql) and DATABASE_OWNER_URL as the owner."
    return [Error(f"{problem[0].upper()}{problem[1:]}.", hint=hint, id="huntaze.E001")]


def _execute(cursor: Any, query: str) -> Any:
    cursor.execute(query)
    return cursor
