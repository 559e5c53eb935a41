"""The tenant's lock: taking and ending holds shares it; changing what they weigh on takes it alone."""

from uuid import UUID

from django.db import connection


def lock_budgets(*, tenant_id: UUID, exclusive: bool) -> None:
    """Until the transaction's end; waits up to the connection's `lock_timeout`."""
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(hashtextextended(%s, 0))", [f"budgets of {tenant_id}"])
