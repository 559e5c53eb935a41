"""What all tenants spend, from the narrowest roll-up and the tail: cheap for weeks, not for years.

In the caller's transaction, which has to be the system's; days are those of each tenant's own calendar.
"""

from datetime import date
from decimal import Decimal
from uuid import UUID

from apps.costs.rollup_reading import Dimension, Source, summed
from apps.costs.rollup_tables import DAYS_BY_WHAT, SUMS

# Each tenant's days are looked up by the roll-up's key: all rows of other days stay unread.
_READ = """
SELECT {columns} FROM {table}
WHERE tenant_id = ANY (ARRAY(SELECT id FROM tenants_tenant)) AND day BETWEEN %s AND %s
UNION ALL SELECT {columns} FROM costs_ledger_tail(NULL, %s, %s)
"""


def by_tenant(*, since: date, until: date) -> dict[UUID, Decimal]:
    """Those who spent nothing are left out."""
    return {tenant: sums[-1] for tenant, *sums in summed(_source(since, until), "tenant_id")}


def by_day_and_provider(*, since: date, until: date) -> dict[tuple[date, str], Decimal]:
    """The days on which nothing was spent are left out."""
    rows = summed(_source(since, until), Dimension.DAY.column, Dimension.PROVIDER.column)
    return {(day, provider): sums[-1] for day, provider, *sums in rows}


def _source(since: date, until: date) -> Source:
    columns = ", ".join(("tenant_id", "day", "provider", *SUMS))
    return Source(_READ.format(columns=columns, table=DAYS_BY_WHAT.table), [since, until] * 2)
