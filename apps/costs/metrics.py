"""Figures of the ledger and of budgets, asked at every scrape.

Of the ledger the present month is read, one partition; of budgets, the present period of each.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from django.db import connection
from django.db.models import Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.costs.models import BudgetPeriod, LedgerEntry
from apps.costs.periods import period_start
from apps.tenants.models import Tenant

# Those with the least left: whichever is about to refuse something is among them.
BUDGETS_AT_MOST = 200

_BUDGETS = """
SELECT budget.tenant_id, budget.id, budget.scope, budget.period,
       CASE WHEN budget."limit" > 0
            THEN 1 - (coalesce(counter.spent, 0) + coalesce(counter.held, 0)) / budget."limit"
            ELSE 0 END AS ratio
FROM costs_budget AS budget
JOIN tenants_tenant AS tenant ON tenant.id = budget.tenant_id
JOIN unnest(%s::text[], %s::text[], %s::date[]) AS present (time_zone, period, start)
  ON present.time_zone = tenant.time_zone AND present.period = budget.period
LEFT JOIN costs_budgetcounter AS counter
  ON counter.budget_id = budget.id AND counter.period_start = present.start
WHERE budget.mode = 'stop' AND budget.is_active
ORDER BY ratio, budget.id
LIMIT %s
"""


def cost_of_this_month(now: datetime) -> Iterator[Metric]:
    """What providers have cost, and the tokens, since the month's beginning in UTC; then they start anew."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    labels = ["provider", "model"]
    cost = GaugeMetricFamily(
        "huntaze_ai_provider_cost", "Cost since the month's beginning.", labels=[*labels, "currency"]
    )
    tokens = GaugeMetricFamily(
        "huntaze_ai_token_usage", "Tokens since the month's beginning.", labels=[*labels, "kind"]
    )
    rows = (
        LedgerEntry.objects.filter(occurred_at__gte=month)
        .order_by()
        .values("provider", "model", "currency")
        .annotate(
            amount=Sum("amount"),
            input=Sum("input_tokens"),
            cached=Sum("cached_tokens"),
            output=Sum("output_tokens"),
        )
    )
    used: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        cost.add_metric([row["provider"], row["model"], row["currency"]], float(row["amount"]))
        for kind in ("input", "cached", "output"):
            used[row["provider"], row["model"], kind] += row[kind]
    for whose, number in used.items():
        tokens.add_metric(whose, number)
    yield cost
    yield tokens


def budgets_remaining(now: datetime) -> Iterator[Metric]:
    """What is neither spent nor held of each budget that refuses, in its present period."""
    remaining = GaugeMetricFamily(
        "huntaze_budget_remaining_ratio",
        f"What is neither spent nor held of a budget that refuses; the {BUDGETS_AT_MOST} with the least.",
        labels=["tenant", "budget", "scope", "period"],
    )
    # Periods begin by the tenants' clocks, and not every time zone that Python knows is PostgreSQL's too.
    time_zones = Tenant.objects.order_by().values_list("time_zone", flat=True).distinct()
    present = [(zone, period) for zone in time_zones for period in BudgetPeriod.values]
    starts = [period_start(period, at=now, time_zone=zone) for zone, period in present]
    with connection.cursor() as cursor:
        zones, periods = [zone for zone, _ in present], [period for _, period in present]
        cursor.execute(_BUDGETS, [zones, periods, starts, BUDGETS_AT_MOST])
        for tenant_id, budget_id, scope, period, ratio in cursor.fetchall():
            remaining.add_metric([str(tenant_id), str(budget_id), scope, period], float(ratio))
    yield remaining
