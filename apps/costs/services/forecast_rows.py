"""The columns of a forecast's row: what is read for them, and what is reckoned from it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from apps.costs import daily_spend
from apps.costs.daily_spend import Days
from apps.costs.forecasting.bands import Band, DayBand, band_as_json
from apps.costs.models import Budget, BudgetPeriod, BudgetScope
from apps.costs.periods import first_day, last_day

if TYPE_CHECKING:
    from apps.costs.forecasting.outlook import Outlook

# Whole days that are read; of what is older a forecast learns nothing.
HISTORY = timedelta(days=730)
# Of a tenant's budgets for a part of its spend, those with models of their own, and those with a forecast.
MOST_MODELLED, MOST_BUDGETS = 5, 100

# Whose spend: the scope, and the provider, account, campaign or user.
Whose = tuple[str, Any]
_ALL: Whose = (BudgetScope.TENANT, None)


@dataclass(frozen=True, slots=True)
class Spend:
    """What a forecast is made of."""

    today: date
    since: date
    days: dict[Whose, Days]
    budgets: list[Budget]


def read_spend(*, tenant_id: UUID, today: date) -> Spend:
    """A tenant's budgets and what they and all of it have cost day by day, in the caller's transaction."""
    since = today - HISTORY
    active = Budget.objects.filter(tenant_id=tenant_id, is_active=True).exclude(period=BudgetPeriod.DAY)
    # The largest have their own models, if there are too many.
    budgets = list(active.order_by("-limit", "id")[:MOST_BUDGETS])
    days: dict[Whose, Days] = {_ALL: daily_spend.of_tenant(tenant_id=tenant_id, since=since, until=today)}
    wanted: dict[str, list[Any]] = defaultdict(list)
    for scope, value in {_whose(budget) for budget in budgets} - {_ALL}:
        wanted[scope].append(value)
    for scope, values in wanted.items():
        found = daily_spend.by_scope(
            tenant_id=tenant_id, since=since, until=today, scope=scope, values=values
        )
        days.update({(scope, value): of_value for value, of_value in found.items()})
    return Spend(today, since, days, budgets)


def _whose(budget: Budget) -> Whose:
    if budget.scope == BudgetScope.TENANT:
        return _ALL
    return budget.scope, budget.provider if budget.scope == BudgetScope.PROVIDER else budget.scope_id


def columns(*, spend: Spend, now: datetime) -> dict[str, Any]:
    """All but the tenant and the day. It takes time, and needs no database."""
    month = spend.today.replace(day=1)
    outlooks = _outlooks(spend)
    ahead = outlooks[_ALL]
    totals = _totals(spend, _ALL, ahead, since=month, until=last_day("month", month))
    budgets, budget_totals = _of_budgets(spend, outlooks)
    return {
        "made_at": now,
        "month": month,
        "method": ahead.method.value,
        "reason": ahead.reason,
        "observed_days": ahead.observed_days,
        "spent": sum(_known(spend, _ALL, since=month), Decimal(0)),
        **({name: getattr(totals[-1].band, name) for name in _AMOUNTS} if ahead.days else _NOTHING),
        "days": [each.as_json() for each in _days(spend, ahead, until=last_day("month", month))],
        "totals": [each.as_json() for each in totals],
        "backtest": _backtest(ahead),
        "budgets": budgets,
        "budget_totals": budget_totals,
    }


_AMOUNTS = ("point", "low_80", "high_80", "low_95", "high_95")
_NOTHING = dict.fromkeys(_AMOUNTS)


def _outlooks(spend: Spend) -> "dict[Whose, Outlook]":
    """Of everything and of what each budget is for; budgets for the same share one."""
    # Here, so that pandas is loaded by whoever makes forecasts, and by nobody else.
    from apps.costs.forecasting.outlook import look_ahead

    ends = [last_day(period, spend.today) for period in (BudgetPeriod.MONTH, BudgetPeriod.WEEK)]
    horizon = (max(ends) - spend.today).days + 1
    found: dict[Whose, Outlook] = {}
    for whose in dict.fromkeys([_ALL, *map(_whose, spend.budgets)]):
        days = spend.days[whose]
        found[whose] = look_ahead(
            daily_spend.filled(days, since=spend.since, until=spend.today),
            today=days.get(spend.today, Decimal(0)),
            horizon=horizon,
            may_test=len(found) <= MOST_MODELLED,
        )
    return found


def _of_budgets(
    spend: Spend, outlooks: "dict[Whose, Outlook]"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    budgets, budget_totals = [], {}
    for budget in spend.budgets:
        whose = _whose(budget)
        ahead = outlooks[whose]
        start = first_day(budget.period, spend.today)
        totals = _totals(spend, whose, ahead, since=start, until=last_day(budget.period, spend.today))
        if not totals:
            continue
        budgets.append(
            {
                "id": str(budget.pk),
                "starts_on": start.isoformat(),
                "ends_on": totals[-1].day.isoformat(),
                "method": ahead.method.value,
                "spent": str(sum(_known(spend, whose, since=start), Decimal(0))),
                **band_as_json(totals[-1].band),
            }
        )
        budget_totals[str(budget.pk)] = [each.as_json() for each in totals]
    return budgets, budget_totals


def _known(spend: Spend, whose: Whose, *, since: date) -> list[Decimal]:
    """What the days of a period have cost, today included."""
    return daily_spend.filled(spend.days[whose], since=since, until=spend.today + timedelta(days=1))


def _totals(spend: Spend, whose: Whose, ahead: "Outlook", *, since: date, until: date) -> list[DayBand]:
    """What a period has come to by each of its days; those before today are known."""
    if not ahead.days:
        return []
    before, total = [], Decimal(0)
    for number, amount in enumerate(_known(spend, whose, since=since)[:-1]):
        total += amount
        before.append(DayBand(since + timedelta(days=number), Band.known(total)))
    return before + _dated(spend.today, [each.plus(total) for each in ahead.totals], until=until)


def _days(spend: Spend, ahead: "Outlook", *, until: date) -> list[DayBand]:
    return _dated(spend.today, ahead.days, until=until)


def _dated(first: date, bands: Sequence[Band], *, until: date) -> list[DayBand]:
    found = [DayBand(first + timedelta(days=number), band) for number, band in enumerate(bands)]
    return [each for each in found if each.day <= until]


def _backtest(ahead: "Outlook") -> dict[str, Any] | None:
    tested = ahead.backtest
    if tested is None:
        return None
    from apps.costs.forecasting.backtest import MEASURE

    return {
        "measure": MEASURE,
        "model": tested.model,
        "model_error": _error(tested.model_error),
        "naive_error": _error(tested.naive_error),
        "origins": tested.origins,
    }


def _error(share: float) -> float | None:
    """To four places; none where nothing was spent, so that nothing can be a share of it."""
    return round(share, 4) if share != float("inf") else None
