"""What costs tell of budgets: their thresholds, and those that are exceeded."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import SETTLED_LATE, rows, time_zones
from apps.costs.alert_rules.wording import PERIOD, Whose, money, named
from apps.costs.models import BudgetPeriod
from apps.costs.periods import period_start
from apps.notifications.models import Level
from apps.notifications.rules import Finding

# What a correction has raised is looked at for so long, also of periods that are over.
RAISED_LATE = timedelta(days=1)

# Percentages are compared by products, which are exact. The periods are those that Python has reckoned.
_OF_PRESENT_PERIODS = """
FROM costs_budget AS budget
JOIN tenants_tenant AS tenant ON tenant.id = budget.tenant_id
JOIN unnest(%(zones)s::text[], %(periods)s::text[], %(starts)s::date[]) AS present (time_zone, period, start)
  ON present.time_zone = tenant.time_zone AND present.period = budget.period
JOIN costs_budgetcounter AS counter
  ON counter.budget_id = budget.id AND counter.period_start = present.start
"""

# Corrections are mostly of periods that are over.
_PRESENT_OR_RAISED = f"""
FROM (
    SELECT counter.* {_OF_PRESENT_PERIODS}
    UNION
    SELECT raised.* FROM costs_budgetcounter AS raised WHERE raised.raised_at >= %(raised_since)s
) AS counter
JOIN costs_budget AS budget ON budget.id = counter.budget_id
"""  # noqa: S608  # no data in it

_AT_A_THRESHOLD = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       counter.period_start, budget."limit", counter.spent, threshold.percent
{_PRESENT_OR_RAISED}
CROSS JOIN LATERAL unnest(budget.thresholds) AS threshold (percent)
WHERE budget.is_active AND counter.spent > 0 AND counter.spent * 100 >= budget."limit" * threshold.percent
  AND (%(tenant)s::uuid IS NULL OR budget.tenant_id = %(tenant)s)
ORDER BY budget.id, counter.period_start, threshold.percent DESC
"""  # as above

# One that doesn't stop calls may well be above its limit, but a correction isn't what was watched.
_EXCEEDED = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       counter.period_start, budget."limit", counter.spent, counter.raised_at >= %(raised_since)s IS TRUE
{_PRESENT_OR_RAISED}
WHERE budget.is_active AND counter.spent > budget."limit"
  AND (budget.mode = 'stop' OR counter.raised_at >= %(raised_since)s)
ORDER BY budget.id, counter.period_start
"""  # as above

_SHADOW = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       counter.period_start, budget."limit", counter.spent, counter.shadow_calls, counter.shadow_amount
{_OF_PRESENT_PERIODS}
WHERE budget.is_active AND budget.mode = 'shadow' AND counter.shadow_calls > 0
ORDER BY budget.id, counter.period_start
"""  # as above

_RAISED = "What a call has cost became known later, and was more than was entered for it."
_LET_THROUGH = (
    "The limit was lowered, it stopped no calls until now, or a call cost more than was held for it."
)


def budgets_at_a_threshold(now: datetime, tenant_id: UUID | None = None) -> Iterator[Finding]:
    """Thresholds that spend has reached in the present period, or in any by a correction of late.

    Of several, the highest speaks for all. A limit that was changed has thresholds of its own, so it is part
    of what is told once.
    """
    highest: set[tuple[UUID, date]] = set()
    for tenant, budget, *scope, period, start, limit, spent, percent in rows(
        _AT_A_THRESHOLD, {**_present(now), "tenant": tenant_id}
    ):
        whose = Whose(*scope)
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} {percent}% of {plain(limit)}"[:PERIOD],
            level=Level.CRITICAL if percent >= 100 else Level.WARNING,
            message=(
                f"{percent} % of {named(limit, period, whose)} are spent: {money(spent)} since {start}."
            ),
            data={**_figures(limit, spent), "percent": percent, **whose.data, "budget_period": period},
            quiet=(budget, start) in highest,
        )
        highest.add((budget, start))


def budgets_exceeded(now: datetime) -> Iterator[Finding]:
    """Budgets of which more is spent than their limit: that stop calls, or that a correction has raised."""
    for tenant, budget, *scope, period, start, limit, spent, raised in rows(_EXCEEDED, _present(now)):
        whose = Whose(*scope)
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} of {plain(limit)}"[:PERIOD],
            level=Level.CRITICAL,
            message=(
                f"{money(spent)} are spent of {named(limit, period, whose)} since {start}."
                f" {_RAISED if raised else _LET_THROUGH}"
            ),
            data={**_figures(limit, spent), **whose.data, "budget_period": period},
        )


def budgets_in_shadow(now: datetime) -> Iterator[Finding]:
    """Budgets in shadow mode that would have refused something: the first time in a period, for a limit."""
    for tenant, budget, *scope, period, start, limit, spent, calls, amount in rows(_SHADOW, _present(now)):
        whose = Whose(*scope)
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} of {plain(limit)}"[:PERIOD],
            message=(
                f"In shadow mode, {named(limit, period, whose)} would have refused "
                f"{calls:,} {'call' if calls == 1 else 'calls'} of up to {money(amount)} since {start}."
            ),
            data={
                **_figures(limit, spent),
                "calls": calls,
                "amount": plain(amount),
                **whose.data,
                "budget_period": period,
            },
        )


def _present(now: datetime) -> dict[str, Any]:
    """What to look at: by time zone, present periods and those that have only just ended; what was raised."""
    found = {
        (zone, str(period), period_start(period, at=at, time_zone=zone))
        for zone in time_zones()
        for period in BudgetPeriod.values
        for at in (now, now - SETTLED_LATE)
    }
    zones, periods, starts = ([row[index] for row in found] for index in range(3))
    return {
        "zones": zones,
        "periods": periods,
        "starts": starts,
        "raised_since": now - RAISED_LATE,
    }


def _figures(limit: Decimal, spent: Decimal) -> dict[str, str]:
    return {"limit": plain(limit), "spent": plain(spent), "currency": LEDGER_CURRENCY}
