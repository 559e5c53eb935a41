"""A tenant's latest forecast, with what has been spent since. In the caller's transaction."""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.common.money import Money
from apps.costs import queries
from apps.costs.forecasting.bands import Band, DayBand
from apps.costs.forecasting.dates import Reached, reached
from apps.costs.forecasting.methods import Method
from apps.costs.models import Budget, BudgetCounter, BudgetPeriod, Forecast
from apps.costs.periods import last_day, period_start

NONE_YET = (
    "There is no forecast of this month yet. It is made each night, between half past midnight and half past "
    "one by the tenant's clock; a new tenant's first one within an hour."
)


@dataclass(frozen=True, slots=True)
class BudgetOutlook:
    """What a budget's present period comes to; without `total`, the last forecast didn't know it."""

    budget: Budget
    since: date
    until: date
    spent: Decimal
    total: Band | None
    exhausted_on: Reached | None


@dataclass(frozen=True, slots=True)
class CurrentForecast:
    since: date
    until: date
    spent: Money
    method: str
    reason: str
    made_at: datetime | None = None
    observed_days: int = 0
    month_end: Band | None = None
    days: tuple[DayBand, ...] = ()
    totals: tuple[DayBand, ...] = ()
    backtest: dict[str, Any] | None = None
    budgets: tuple[BudgetOutlook, ...] = ()


def current_forecast(*, tenant_id: UUID, time_zone: str, now: datetime) -> CurrentForecast:
    """The latest forecast of the month that it is. Whatever it said, no less than is spent already."""
    today = period_start("day", at=now, time_zone=time_zone)
    month = today.replace(day=1)
    spent = queries.cost_of_month(tenant_id=tenant_id, time_zone=time_zone, now=now)
    latest = Forecast.objects.filter(tenant_id=tenant_id).order_by("-made_on").first()
    forecast = latest if latest is not None and latest.month == month else None
    empty = CurrentForecast(
        since=month,
        until=last_day("month", month),
        spent=spent,
        method=Method.NONE,
        reason=NONE_YET,
        # A week goes on in another month, until the night's forecast is made.
        budgets=_budgets(tenant_id, latest, today),
    )
    if forecast is None:
        return empty
    totals = [_now(DayBand.of_json(each), spent.amount, today) for each in forecast.totals]
    return replace(
        empty,
        method=forecast.method,
        reason=forecast.reason,
        made_at=forecast.made_at,
        observed_days=forecast.observed_days,
        month_end=totals[-1].band if totals else None,
        days=tuple(map(DayBand.of_json, forecast.days)),
        totals=tuple(totals),
        backtest=forecast.backtest,
    )


def _budgets(tenant_id: UUID, forecast: Forecast | None, today: date) -> tuple[BudgetOutlook, ...]:
    active = Budget.objects.filter(tenant_id=tenant_id, is_active=True).exclude(period=BudgetPeriod.DAY)
    starts = {
        BudgetPeriod.MONTH: today.replace(day=1),
        BudgetPeriod.WEEK: today - timedelta(days=today.weekday()),
    }
    counters = BudgetCounter.objects.filter(tenant_id=tenant_id, period_start__in=starts.values())
    spent = {(each.budget_id, each.period_start): each.spent for each in counters}
    sums = forecast.budget_totals if forecast else {}
    return tuple(
        _outlook(
            budget,
            [DayBand.of_json(each) for each in sums.get(str(budget.pk), [])],
            since=starts[BudgetPeriod(budget.period)],
            today=today,
            spent=spent.get((budget.pk, starts[BudgetPeriod(budget.period)]), Decimal(0)),
        )
        for budget in active.order_by("id")
    )


def _outlook(
    budget: Budget, totals: list[DayBand], *, since: date, today: date, spent: Decimal
) -> BudgetOutlook:
    # Sums of the week or month before say nothing about this one.
    known = [_now(each, spent, today) for each in totals] if totals and totals[0].day == since else []
    return BudgetOutlook(
        budget=budget,
        since=since,
        until=last_day(budget.period, today),
        spent=spent,
        total=known[-1].band if known else None,
        exhausted_on=reached(budget.limit, known) if known else None,
    )


def _now(sum_of_day: DayBand, spent: Decimal, today: date) -> DayBand:
    """The sum by a day, knowing what is spent by now: no less of days to come, no more of those past."""
    band = sum_of_day.band
    return DayBand(sum_of_day.day, band.at_most(spent) if sum_of_day.day < today else band.at_least(spent))
