"""What costs tell people of: budgets at their thresholds, dear days, usage above what was held."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.common.ids import first_id_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.models import BudgetPeriod
from apps.costs.periods import period_bounds, period_start
from apps.notifications.models import Level
from apps.notifications.rules import Finding
from apps.tenants.models import Tenant

# What was asked before a period's end may be settled so long after it.
SETTLED_LATE = timedelta(minutes=10)
# Among the holds taken in this time, one that cost more than it held is looked for.
ABOVE_BOUND_AGE = timedelta(hours=1)
# A generation may have waited for so long when its attempt is made; its entries bear the time of its making.
WAITED = timedelta(days=1)
# Characters of an alert's period.
_PERIOD = 32

# Percentages are compared by products, which are exact. The periods are those that Python has reckoned.
_OF_PRESENT_PERIODS = """
FROM costs_budget AS budget
JOIN tenants_tenant AS tenant ON tenant.id = budget.tenant_id
JOIN unnest(%(zones)s::text[], %(periods)s::text[], %(starts)s::date[]) AS present (time_zone, period, start)
  ON present.time_zone = tenant.time_zone AND present.period = budget.period
JOIN costs_budgetcounter AS counter
  ON counter.budget_id = budget.id AND counter.period_start = present.start
"""

_AT_A_THRESHOLD = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.period, present.start, budget."limit", counter.spent,
       threshold.percent
{_OF_PRESENT_PERIODS}
CROSS JOIN LATERAL unnest(budget.thresholds) AS threshold (percent)
WHERE budget.is_active AND counter.spent > 0 AND counter.spent * 100 >= budget."limit" * threshold.percent
  AND (%(tenant)s::uuid IS NULL OR budget.tenant_id = %(tenant)s)
ORDER BY budget.id, present.start, threshold.percent DESC
"""  # no data in it

_EXCEEDED = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.period, present.start, budget."limit", counter.spent
{_OF_PRESENT_PERIODS}
WHERE budget.is_active AND budget.mode = 'stop' AND counter.spent > budget."limit"
ORDER BY budget.id, present.start
"""  # as above

_SHADOW = f"""
SELECT budget.tenant_id, budget.id, budget.scope, budget.period, present.start, budget."limit", counter.spent,
       counter.shadow_calls, counter.shadow_amount
{_OF_PRESENT_PERIODS}
WHERE budget.is_active AND budget.mode = 'shadow' AND counter.shadow_calls > 0
ORDER BY budget.id, present.start
"""  # as above

_DEAR_DAYS = """
SELECT entry.tenant_id, present.day, sum(entry.amount)
FROM unnest(%s::text[], %s::date[], %s::timestamptz[]) AS present (time_zone, day, begins_at)
JOIN tenants_tenant AS tenant ON tenant.time_zone = present.time_zone
JOIN costs_ledgerentry AS entry ON entry.tenant_id = tenant.id AND entry.occurred_at >= present.begins_at
WHERE entry.occurred_at >= %s
GROUP BY entry.tenant_id, present.day
HAVING sum(entry.amount) > %s
ORDER BY entry.tenant_id
"""

_ABOVE_BOUND = """
SELECT hold.tenant_id, hold.id, hold.provider, hold.model, hold.bound, entry.amount
FROM costs_hold AS hold
JOIN costs_ledgerentry AS entry ON entry.occurred_at = hold.occurred_at
  AND entry.generation_id = hold.generation_id AND entry.attempt = hold.attempt
WHERE hold.id >= %s AND hold.state = 'settled' AND entry.occurred_at >= %s AND entry.amount > hold.bound
ORDER BY hold.id
"""


def budgets_at_a_threshold(now: datetime, tenant_id: UUID | None = None) -> Iterator[Finding]:
    """Thresholds that the present period's spend has reached; of several, the highest speaks for all.

    A limit that was changed has thresholds of its own, so it is part of what is told once.
    """
    highest: set[tuple[UUID, date]] = set()
    for tenant, budget, scope, period, start, limit, spent, percent in _rows(
        _AT_A_THRESHOLD, {**_present(now), "tenant": tenant_id}
    ):
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} {percent}% of {plain(limit)}"[:_PERIOD],
            level=Level.CRITICAL if percent >= 100 else Level.WARNING,
            message=(
                f"{percent} % of {_named(limit, period, scope)} are spent: {_money(spent)} since {start}."
            ),
            data={**_figures(limit, spent), "percent": percent, "scope": scope, "budget_period": period},
            quiet=(budget, start) in highest,
        )
        highest.add((budget, start))


def budgets_exceeded(now: datetime) -> Iterator[Finding]:
    """Budgets that stop calls, and yet have spent more than their limit: it, or their mode, was changed."""
    for tenant, budget, scope, period, start, limit, spent in _rows(_EXCEEDED, _present(now)):
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} of {plain(limit)}"[:_PERIOD],
            level=Level.CRITICAL,
            message=(
                f"{_money(spent)} are spent of {_named(limit, period, scope)} since {start}. The limit was"
                " lowered, it stopped no calls until now, or a call cost more than was held for it."
            ),
            data={**_figures(limit, spent), "scope": scope, "budget_period": period},
        )


def budgets_in_shadow(now: datetime) -> Iterator[Finding]:
    """Budgets in shadow mode that would have refused something: the first time in a period, for a limit."""
    for tenant, budget, scope, period, start, limit, spent, calls, amount in _rows(_SHADOW, _present(now)):
        yield Finding(
            tenant_id=tenant,
            subject=str(budget),
            period=f"{start} of {plain(limit)}"[:_PERIOD],
            message=(
                f"In shadow mode, {_named(limit, period, scope)} would have refused "
                f"{calls:,} {'call' if calls == 1 else 'calls'} of up to {_money(amount)} since {start}."
            ),
            data={
                **_figures(limit, spent),
                "calls": calls,
                "amount": plain(amount),
                "scope": scope,
                "budget_period": period,
            },
        )


def dear_days(now: datetime) -> Iterator[Finding]:
    """Tenants whose day, by their own clock, has cost more than HUNTAZE_DAILY_COST_ALERT."""
    figure = settings.DAILY_COST_ALERT
    zones = _time_zones()
    days = [period_start(BudgetPeriod.DAY, at=now, time_zone=zone) for zone in zones]
    begin = [
        period_bounds(BudgetPeriod.DAY, start=day, time_zone=zone)[0]
        for zone, day in zip(zones, days, strict=True)
    ]
    if not zones:
        return
    # The last one once more for all, so that no older partition is read.
    for tenant, day, spent in _rows(_DEAR_DAYS, [zones, days, begin, min(begin), figure]):
        yield Finding(
            tenant_id=tenant,
            period=str(day),
            message=f"{day} has cost {_money(spent)}, more than {_money(figure)}.",
            data={"spent": plain(spent), "figure": plain(figure), "currency": LEDGER_CURRENCY},
        )


def usage_above_bound(now: datetime) -> Iterator[Finding]:
    """Attempts that cost more than the most that was held for them: the bound was reckoned wrongly."""
    since = first_id_of(now - ABOVE_BOUND_AGE)
    for tenant, hold, provider, model, bound, amount in _rows(
        _ABOVE_BOUND, [since, now - ABOVE_BOUND_AGE - WAITED]
    ):
        yield Finding(
            tenant_id=tenant,
            subject=str(hold),
            message=(
                f"A call of {model} at {provider} cost {_money(amount)}; {_money(bound)} were held for it."
            ),
            data={"spent": plain(amount), "bound": plain(bound), "currency": LEDGER_CURRENCY},
        )


def _present(now: datetime) -> dict[str, Any]:
    """Which periods to look at, by time zone: the present ones, and those that have only just ended."""
    found = {
        (zone, str(period), period_start(period, at=at, time_zone=zone))
        for zone in _time_zones()
        for period in BudgetPeriod.values
        for at in (now, now - SETTLED_LATE)
    }
    zones, periods, starts = ([row[index] for row in found] for index in range(3))
    return {"zones": zones, "periods": periods, "starts": starts}


def _time_zones() -> list[str]:
    return list(Tenant.objects.order_by().values_list("time_zone", flat=True).distinct())


def _rows(statement: str, values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _named(limit: Decimal, period: str, scope: str) -> str:
    whose = "" if scope == "tenant" else f" for one {scope}"
    return f"the budget of {_money(limit)} a {period}{whose}"


def _figures(limit: Decimal, spent: Decimal) -> dict[str, str]:
    return {"limit": plain(limit), "spent": plain(spent), "currency": LEDGER_CURRENCY}


def _money(amount: Decimal) -> str:
    """To the cent; below one, in full."""
    rounded = amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return f"{plain(rounded if rounded else amount)} {LEDGER_CURRENCY}"
