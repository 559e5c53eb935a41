"""A day's sums as anybody would make them: a GROUP BY of the ledger for each table, which is empty before."""

import time
from datetime import datetime, timedelta
from typing import Any

import psycopg

_TABLES = {
    "costs_hourrollup": "day, hour",
    "costs_dayrollup": "day",
    "costs_monthrollup": "month",
}
_KEY = "provider, model, task_kind, account_id, campaign_id, user_id"
_SUMS = "attempts, estimated, input_tokens, cached_tokens, output_tokens, amount"
_SUM_UP = """
INSERT INTO {table} (tenant_id, {period}, {key}, {sums})
SELECT tenant_id, {period}, {key}, count(*) FILTER (WHERE sequence = 0), count(*) FILTER (WHERE estimated),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(amount)
FROM (
    SELECT entry.*, date_trunc('month', occurred_at AT TIME ZONE tenant.time_zone)::date AS month,
        (occurred_at AT TIME ZONE tenant.time_zone)::date AS day,
        date_trunc('hour', occurred_at, tenant.time_zone) AS hour
    FROM costs_ledgerentry AS entry JOIN tenants_tenant AS tenant ON tenant.id = entry.tenant_id
    WHERE occurred_at >= %s AND occurred_at < %s
) AS entry
GROUP BY tenant_id, {period}, {key}
"""


def sum_up(connection: "psycopg.Connection[tuple[Any, ...]]", day: datetime) -> tuple[float, dict[str, int]]:
    """The seconds that it took, and how many groups it made in each table."""
    names = {table: f"plain_{table}" for table in _TABLES}
    for table, name in names.items():
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    groups = {}
    began = time.perf_counter()
    with connection.transaction():
        for table, period in _TABLES.items():
            statement = _SUM_UP.format(table=names[table], period=period, key=_KEY, sums=_SUMS)
            groups[table] = connection.execute(statement, [day, day + timedelta(days=1)]).rowcount
    return time.perf_counter() - began, groups
