"""Costs, messages and revenue side by side: one statement, so all of it is of one moment.

Each runs in the caller's transaction and sees what that may see.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from apps.analytics.economics import Economics
from apps.analytics.models import RevenueEntry
from apps.costs.periods import period_bounds
from apps.costs.rollup_reading import Dimension, of_range


class Subject(StrEnum):
    """What unit economics are of."""

    ACCOUNT = "account"
    CAMPAIGN = "campaign"

    @property
    def table(self) -> str:
        return {Subject.ACCOUNT: "messaging_account", Subject.CAMPAIGN: "campaigns_campaign"}[self]


class Order(StrEnum):
    NAME = "name"
    AI_COST = "ai_cost"
    MESSAGES_SENT = "messages_sent"
    COST_PER_MESSAGE = "cost_per_message"
    REVENUE = "revenue"
    MARGIN = "margin"
    COST_SHARE = "cost_share"


@dataclass(frozen=True, slots=True)
class Row:
    id: UUID
    name: str
    figures: Economics


@dataclass(frozen=True, slots=True)
class Table:
    """The rows asked for, of how many; what belongs to no account or campaign; and everything together."""

    rows: list[Row]
    number: int
    unattributed: Economics
    total: Economics


# What the archive has is counted by day already (migration 0001_revenue); what is live is counted here.
_SENT = """
SELECT {of} AS id, 0::numeric AS cost, sum(sent.number) AS sent, NULL::numeric AS revenue
FROM (
    SELECT account_id, outbox_id, number FROM analytics_sentday
    WHERE tenant_id = %(tenant)s AND day BETWEEN %(since)s AND %(until)s
    UNION ALL
    SELECT account_id, outbox_id, count(*) FROM messaging_message
    WHERE tenant_id = %(tenant)s AND state = 'sent' AND sent_at >= %(begins_at)s AND sent_at < %(ends_at)s
    GROUP BY account_id, outbox_id
) AS sent
LEFT JOIN messaging_outbox AS outbox ON outbox.id = sent.outbox_id
GROUP BY 1
"""
_SENT_OF = {Subject.ACCOUNT: "sent.account_id", Subject.CAMPAIGN: "outbox.campaign_id"}
_EARNED = """
SELECT {of}_id, 0, 0, sum(amount) FROM analytics_revenueentry
WHERE tenant_id = %(tenant)s AND occurred_at >= %(begins_at)s AND occurred_at < %(ends_at)s
GROUP BY {of}_id
"""
_TABLE = """
WITH figures AS MATERIALIZED (
    SELECT id, sum(cost) AS ai_cost, sum(sent)::bigint AS messages_sent, sum(revenue) AS revenue
    FROM ({sources}) AS source GROUP BY id
), whole AS (
    SELECT count(id) AS number, sum(ai_cost) AS ai_cost, sum(messages_sent)::bigint AS messages_sent,
        sum(revenue) AS revenue
    FROM figures
), ranked AS (
    SELECT figures.*, coalesce(subject.name, '') AS name,
        ai_cost / nullif(messages_sent, 0) AS cost_per_message, revenue - ai_cost AS margin,
        CASE WHEN revenue > 0 THEN ai_cost / revenue END AS cost_share
    FROM figures LEFT JOIN {table} AS subject ON subject.id = figures.id
    WHERE figures.id IS NOT NULL
), shown AS (
    SELECT row_number() OVER (ORDER BY {order}, id) AS place, id, name, ai_cost, messages_sent, revenue
    FROM ranked ORDER BY place LIMIT %(limit)s OFFSET %(offset)s
)
SELECT 0 AS place, NULL::uuid AS id, number::text AS name, ai_cost, messages_sent, revenue FROM whole
UNION ALL SELECT 0, NULL, NULL, ai_cost, messages_sent, revenue FROM figures WHERE id IS NULL
UNION ALL SELECT * FROM shown
ORDER BY place
"""


def economics(
    *,
    tenant_id: UUID,
    time_zone: str,
    by: Subject,
    since: date,
    until: date,
    order: tuple[Order, bool],
    limit: int,
    offset: int = 0,
) -> Table:
    """Of each account or campaign in some days of the tenant's calendar, in an order (True: descending).

    What isn't known comes last.
    """
    spent = of_range(tenant_id, since, until, by=[Dimension(by)])
    name, descending = order
    # Put together of our own names: no data in them.
    sources = [
        f"SELECT {by}_id AS id, sum(amount) AS cost, 0::bigint AS sent, NULL::numeric AS revenue"  # noqa: S608
        f" FROM ({_named(spent.sql)}) AS spent GROUP BY 1",
        _SENT.format(of=_SENT_OF[by]),
        _EARNED.format(of=by),
    ]
    statement = _TABLE.format(
        sources=" UNION ALL ".join(f"({each})" for each in sources),
        table=by.table,
        order=f"{name} {'DESC' if descending else 'ASC'} NULLS LAST",
    )
    given: dict[str, Any] = {
        "tenant": tenant_id,
        "since": since,
        "until": until,
        "begins_at": period_bounds("day", start=since, time_zone=time_zone)[0],
        "ends_at": period_bounds("day", start=until, time_zone=time_zone)[1],
        "limit": limit,
        "offset": offset,
        **{f"spent{at}": value for at, value in enumerate(spent.parameters)},
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return _table(cursor.fetchall())


def revenue_of_campaign(*, campaign_id: UUID) -> Decimal | None:
    """All that it is known to have earned so far; None if nothing is known."""
    found = RevenueEntry.objects.filter(campaign_id=campaign_id).aggregate(sum=Sum("amount"))["sum"]
    return found if found is None else Decimal(found)


def _named(sql: str) -> str:
    """The statement's placeholders by number, since the rest has names."""
    parts = sql.split("%s")
    return "".join(f"{part}%(spent{at})s" if at < len(parts) - 1 else part for at, part in enumerate(parts))


def _table(found: list[tuple[Any, ...]]) -> Table:
    rows, number, unattributed, total = [], 0, Economics(), Economics()
    for _, subject, name, cost, sent, revenue in found:
        figures = Economics(cost or Decimal(0), sent or 0, revenue)
        if subject is not None:
            rows.append(Row(subject, name, figures))
        elif name is not None:
            number, total = int(name), figures
        else:
            unattributed = figures
    return Table(rows, number, unattributed, total)
