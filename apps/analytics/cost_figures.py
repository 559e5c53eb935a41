"""A tenant's figures on the admin's page Costs, of roll-ups, counters and few rows, in the system's door."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import NullIf

from apps.analytics.cost_ranges import Spend, spend_of
from apps.campaigns.models import Campaign
from apps.costs import daily_spend
from apps.costs.forecast_reading import BudgetOutlook, CurrentForecast, current_forecast
from apps.costs.models import Budget, BudgetCounter, BudgetPeriod, BudgetScope
from apps.costs.periods import period_start
from apps.costs.queries import Breakdown, breakdown
from apps.costs.rollup_reading import Dimension
from apps.notifications.models import Alert, Level
from apps.tenants.models import Tenant

# The first so many of each are shown, and the newest of the alerts are counted.
BUDGETS, DEAREST, ALERTS, COUNTED = 12, 10, 10, 10_000
# Above any number of providers in the days of two years.
_GROUPS = 50_000
_MOST_FIRST = [("amount", True)]


@dataclass(frozen=True, slots=True)
class Month:
    """What the month has come to by each of its days until today, and how it may go on."""

    so_far: tuple[tuple[date, Decimal], ...]
    forecast: CurrentForecast

    @property
    def limit(self) -> Decimal | None:
        """Of the budget for all that the tenant spends in a month."""
        for each in self.forecast.budgets:
            if (each.budget.scope, each.budget.period) == (BudgetScope.TENANT, BudgetPeriod.MONTH):
                return each.budget.limit
        return None


@dataclass(frozen=True, slots=True)
class Budgets:
    """Those of which most is spent, of how many; what the last forecast says of them, by id."""

    rows: Sequence[Budget]
    number: int
    outlooks: dict[UUID, BudgetOutlook]


@dataclass(frozen=True, slots=True)
class Alerts:
    """The newest of those that nobody has acknowledged, and how many there are, by level."""

    rows: Sequence[Alert]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class TenantFigures:
    spend: Spend
    month: Month
    budgets: Budgets
    campaigns: Breakdown
    names: dict[UUID, str]
    models: Breakdown
    alerts: Alerts


def figures_of_tenant(*, tenant: Tenant, days: int, now: datetime) -> TenantFigures:
    today = period_start("day", at=now, time_zone=tenant.time_zone)
    since = today - timedelta(days=days - 1)
    month = _month(tenant, today, now)
    campaigns = _dearest(tenant, since, today, Dimension.CAMPAIGN)
    ids = [group.values[0] for group in campaigns.groups]
    return TenantFigures(
        spend=spend_of(_by_day(tenant, since - timedelta(days=days), today), days=days, today=today),
        month=month,
        budgets=_budgets(tenant, month.forecast, now),
        campaigns=campaigns,
        names=dict(Campaign.objects.filter(pk__in=filter(None, ids)).values_list("pk", "name")),
        models=_dearest(tenant, since, today, Dimension.PROVIDER, Dimension.MODEL),
        alerts=alerts_among(Alert.objects.filter(tenant_id=tenant.pk)),
    )


def _by_day(tenant: Tenant, since: date, until: date) -> dict[tuple[date, str], Decimal]:
    found = breakdown(
        tenant_id=tenant.pk,
        since=since,
        until=until,
        by=[Dimension.DAY, Dimension.PROVIDER],
        order=[("day", False)],
        limit=_GROUPS,
    )
    return {(day, provider): group.costs.amount for group in found.groups for day, provider in [group.values]}


def _dearest(tenant: Tenant, since: date, until: date, *by: Dimension) -> Breakdown:
    return breakdown(
        tenant_id=tenant.pk, since=since, until=until, by=by, order=_MOST_FIRST, limit=DEAREST + 1
    )


def _month(tenant: Tenant, today: date, now: datetime) -> Month:
    first = today.replace(day=1)
    days = daily_spend.of_tenant(tenant_id=tenant.pk, since=first, until=today)
    so_far, total = [], Decimal(0)
    amounts = daily_spend.filled(days, since=first, until=today + timedelta(days=1))
    for number, amount in enumerate(amounts):
        total += amount
        so_far.append((first + timedelta(days=number), total))
    forecast = current_forecast(tenant_id=tenant.pk, time_zone=tenant.time_zone, now=now)
    return Month(tuple(so_far), forecast)


def _budgets(tenant: Tenant, forecast: CurrentForecast, now: datetime) -> Budgets:
    active = Budget.objects.filter(tenant_id=tenant.pk, is_active=True)
    present = Case(
        *(
            When(period=period, then=Value(period_start(period, at=now, time_zone=tenant.time_zone)))
            for period in BudgetPeriod.values
        )
    )
    counters = BudgetCounter.objects.filter(budget=OuterRef("pk"), period_start=OuterRef("present"))
    spent = Subquery(counters.values("spent"))
    share = spent / NullIf(F("limit"), Value(Decimal(0)))
    ordered = active.annotate(present=present).order_by(share.desc(nulls_last=True), "-id")
    return Budgets(
        rows=list(ordered.with_present(at=now).with_scope_names()[:BUDGETS]),
        number=active.count(),
        outlooks={each.budget.pk: each for each in forecast.budgets},
    )


def alerts_among(rows: QuerySet[Alert]) -> Alerts:
    newest = rows.filter(acknowledged_at=None).order_by("-pk")
    counts = newest[:COUNTED].aggregate(**{level: Count("pk", filter=Q(level=level)) for level in Level})
    return Alerts(rows=list(newest[:ALERTS]), counts=counts)
