from datetime import date, timedelta

from django.db import connection

from apps.tenants.system import system_transaction

# The last month, for generations of its end that are settled in this one, this one, and three ahead.
MONTHS = 5


def ensure_ledger_partitions(*, today: date) -> int:
    """Make the ledger's missing partitions, up to three months ahead. Returns how many it made."""
    last_month = today.replace(day=1) - timedelta(days=1)
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT ensure_ledger_partitions(%s, %s)", [last_month, MONTHS])
        row = cursor.fetchone()
    return int(row[0])
