"""What costs tell of what is to come: forecasts beyond a budget."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import of_budgets
from apps.costs.alert_rules.wording import PERIOD, money, named
from apps.notifications.models import Level
from apps.notifications.rules import Finding

# A forecast that wasn't made again for so long is not spoken of.
STALE = timedelta(days=2)

# The limit is the present one. What is spent already beyond it, other rules tell of.
_BEYOND = """
SELECT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       budget."limit", ahead.starts_on, ahead.ends_on, ahead.point, ahead.low_80, ahead.high_80
FROM tenants_tenant AS tenant
CROSS JOIN LATERAL (
    SELECT forecast.budgets FROM costs_forecast AS forecast
    WHERE forecast.tenant_id = tenant.id AND forecast.made_on >= %(since)s AND forecast.made_at > %(made)s
    ORDER BY forecast.made_on DESC LIMIT 1
) AS latest
CROSS JOIN LATERAL jsonb_to_recordset(latest.budgets) AS ahead (
    id uuid, starts_on date, ends_on date, spent numeric, point numeric, low_80 numeric, high_80 numeric
)
JOIN costs_budget AS budget ON budget.id = ahead.id AND budget.tenant_id = tenant.id AND budget.is_active
WHERE ahead.point > budget."limit" AND ahead.spent <= budget."limit"
  AND ahead.ends_on >= (%(now)s AT TIME ZONE costs_zone(tenant.time_zone))::date
ORDER BY budget.id
"""


def forecasts_over_budget(now: datetime) -> Iterator[Finding]:
    """Budgets whose week or month will come to more than the limit; critical if it surely will.

    Surely: the lower end of the interval of 80 % is above it, too. Then the warning is only listed.
    """
    values = {"now": now, "made": now - STALE, "since": (now - STALE - timedelta(days=1)).date()}
    for tenant, budget, whose, period, limit, start, end, point, low, high in of_budgets(_BEYOND, values):
        surely = low > limit
        levels = [Level.CRITICAL, Level.WARNING] if surely else [Level.WARNING]
        for level in levels:
            yield Finding(
                tenant_id=tenant,
                subject=str(budget),
                period=f"{start} of {plain(limit)}"[:PERIOD],
                level=level,
                message=(
                    f"By {end} {money(point)} will be spent of {named(limit, period, whose)}; with 80 %, from"
                    f" {money(low)} to {money(high)}."
                ),
                data={
                    "limit": plain(limit),
                    "forecast": plain(point),
                    "low_80": plain(low),
                    "high_80": plain(high),
                    **whose.data,
                    "budget_period": period,
                    "currency": LEDGER_CURRENCY,
                },
                quiet=surely and level == Level.WARNING,
            )
