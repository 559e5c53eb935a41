"""What costs tell of budgets: their thresholds, and those that are exceeded."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import of_budgets, time_zones
from apps.costs.alert_rules.wording import PERIOD, money, named
from apps.costs.models import BudgetMode, BudgetPeriod
from apps.costs.periods import period_bounds, period_start
from apps.notifications.models import Level
from apps.notifications.rules import Finding

# Periods are looked at for so long after their end: a call may wait for a day, and then be settled.
ENDED_LATE = timedelta(hours=25)
# What corrections have raised is looked at for so long, also of periods that are over. `costs_settle_hold`
# adds it up for as long.
RAISED_LATE = timedelta(days=1)

# Percentages are compared by products, which are exact. The periods are those that Python has reckoned. What
# was over when its budget was changed had another limit, or none.
_OF_PRESENT_PERIODS = """
FROM costs_budget AS budget
JOIN tenants_tenant AS tenant ON tenant.id = budget.tenant_id
JOIN unnest(%(zones)s::text[], %(periods)s::text[], %(starts)s::date[], %(ends)s::timestamptz[])
  AS present (time_zone, period, start, ends_at)
  ON present.time_zone = tenant.time_zone AND present.period = budget.period
  AND (budget.changed_at < present.ends_at) IS NOT FALSE
JOIN costs_budgetcounter AS counter
  ON counter.budget_id = budget.id AND counter.period_start = present.start
"""

# Corrections are mostly of periods that are over. What is both is there twice, so readers take it once.
_PRESENT_OR_RAISED = f"""
FROM (
    SELECT counter.*, true AS is_present {_OF_PRESENT_PERIODS}
    UNION ALL
    SELECT raised.*, false FROM costs_budgetcounter AS raised WHERE raised.raised_at >= %(raised_since)s
) AS counter
JOIN costs_budget AS budget ON budget.id = counter.budget_id
"""  # noqa: S608  # no data in it

# Of a period that is long over, only what a correction has crossed: what was reached before, by whichever
# limit it had then, is no news. A limit of nothing has no percentages.
_AT_A_THRESHOLD = f"""
SELECT DISTINCT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       counter.period_start, budget."limit", counter.spent, threshold.percent
{_PRESENT_OR_RAISED}
CROSS JOIN LATERAL unnest(budget.thresholds) AS threshold (percent)
WHERE budget.is_active AND budget."limit" > 0
  AND counter.spent * 100 >= budget."limit" * threshold.percent
  AND (counter.is_present OR (counter.spent - counter.raised_by) * 100 < budget."limit" * threshold.percent)
  AND (%(tenant)s::uuid IS NULL OR budget.tenant_id = %(tenant)s)
ORDER BY budget.id, counter.period_start, threshold.percent DESC
"""  # as above

# One that doesn't stop calls may well be above its limit, but a correction that brings it there isn't what
# was watched. Of a limit of nothing, this says what thresholds say of others; shadow mode tells of its calls.
_EXCEEDED = f"""
SELECT DISTINCT budget.tenant_id, budget.id, budget.scope, budget.scope_id, budget.provider, budget.period,
       counter.period_start, budget."limit", counter.spent, crossing.by_correction, budget.mode
{_PRESENT_OR_RAISED}
CROSS JOIN LATERAL (
    SELECT (counter.raised_at >= %(raised_since)s AND counter.spent - counter.raised_by <= budget."limit")
        IS TRUE AS by_correction
) AS crossing
WHERE budget.is_active AND counter.spent > budget."limit" AND (
    crossing.by_correction
    OR counter.is_present AND budget.mode = 'stop'
    OR counter.is_present AND budget.mode = 'watch' AND budget."limit" = 0 AND budget.thresholds <> '{{}}'
)
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
    """Thresholds that spend has reached in the present period or one that ended of late, or corrections of
    late in any.

    Of several, the highest speaks for all. A limit that was changed has thresholds of its own, so it is part
    of what is told once.
    """
    highest: set[tuple[UUID, date]] = set()
    for tenant, budget, whose, period, start, limit, spent, percent in of_budgets(
        _AT_A_THRESHOLD, {**_present(now), "tenant": tenant_id}
    ):
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
    """Budgets of which more is spent than their limit: that stop calls, that a correction has brought there,
    or whose limit is nothing.
    """
    for tenant, budget, whose, period, start, limit, spent, raised, mode in of_budgets(
        _EXCEEDED, _present(now)
    ):
        why = _RAISED if raised else _LET_THROUGH if mode == BudgetMode.STOP else ""
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} of {plain(limit)}"[:PERIOD],
            level=Level.CRITICAL,
            message=(
                f"{money(spent)} are spent of {named(limit, period, whose)} since {start}. {why}".rstrip()
            ),
            data={**_figures(limit, spent), **whose.data, "budget_period": period},
        )


def budgets_in_shadow(now: datetime) -> Iterator[Finding]:
    """Budgets in shadow mode that would have refused something: the first time in a period, for a limit."""
    for tenant, budget, whose, period, start, limit, spent, calls, amount in of_budgets(
        _SHADOW, _present(now)
    ):
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


def looked_at(now: datetime) -> tuple[datetime, ...]:
    """Instants of all periods that aren't over for longer than ENDED_LATE: the shortest has 23 hours."""
    return now, now - ENDED_LATE / 2, now - ENDED_LATE


def _present(now: datetime) -> dict[str, Any]:
    """What to look at: by time zone, present periods and those that ended of late; what was raised."""
    found = {
        (zone, str(period), period_start(period, at=at, time_zone=zone))
        for zone in time_zones()
        for period in BudgetPeriod.values
        for at in looked_at(now)
    }
    zones, periods, starts = ([row[index] for row in found] for index in range(3))
    return {
        "zones": zones,
        "periods": periods,
        "starts": starts,
        "ends": [period_bounds(period, start=start, time_zone=zone)[1] for zone, period, start in found],
        "raised_since": now - RAISED_LATE,
    }


def _figures(limit: Decimal, spent: Decimal) -> dict[str, str]:
    return {"limit": plain(limit), "spent": plain(spent), "currency": LEDGER_CURRENCY}
