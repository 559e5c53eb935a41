"""The sections of the admin's page Costs: tables and charts, with links to what is behind them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.urls import reverse

from apps.analytics import cost_cards, cost_charts, cost_lists, cost_tables
from apps.analytics.cost_cards import Card, alerts_url
from apps.analytics.cost_charts import Chart
from apps.analytics.cost_figures import ALERTS, BUDGETS, Alerts, TenantFigures
from apps.analytics.cost_platform import PlatformFigures
from apps.analytics.cost_ranges import Spend, Unit
from apps.analytics.cost_tables import Table
from apps.common.admin.columns import list_url, money
from apps.costs.forecasting.methods import Method
from apps.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Section:
    """A chart has its table beside it, folded; `more` is a link to all that the table has a part of."""

    slug: str
    title: str
    note: str = ""
    table: Table | None = None
    chart: Chart | None = None
    kind: str = "bar"
    more: str = ""
    more_url: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    scope: str
    cards: list[Card]
    sections: list[Section]


def of_tenant(tenant: Tenant, seen: TenantFigures, *, days: int, now: datetime) -> Page:
    bars = seen.spend.bars
    scope = (
        f"{bars[0].first} to {bars[-1].last} by the tenant's calendar ({tenant.time_zone}); today isn't over."
    )
    own = {"tenant_id__exact": tenant.pk}
    return Page(
        scope,
        [
            cost_cards.spent(seen.spend, days, list_url("costs.ledgerentry", **own)),
            cost_cards.ahead(seen, list_url("costs.forecast", **own)),
            cost_cards.open_alerts(seen.alerts, alerts_url(tenant.pk)),
        ],
        [
            _spend(seen.spend, tenant),
            _month(seen, now),
            _budgets(seen, tenant, now),
            _campaigns(seen),
            _models(seen, tenant),
            _alerts(seen.alerts, tenant.pk),
        ],
    )


def of_platform(seen: PlatformFigures, *, days: int) -> Page:
    bars = seen.spend.bars
    scope = (
        f"{bars[0].first} to {bars[-1].last}, each tenant's days by its own calendar, until today in UTC;"
        " today isn't over. Budgets, forecasts and campaigns are a tenant's."
    )
    tenants = Section(
        "tenants",
        "Tenants that cost most",
        "" if seen.tenants else "Nothing was spent in these days.",
        cost_lists.tenants(seen, page_url=reverse("admin_costs"), days=days),
    )
    return Page(
        scope,
        [
            cost_cards.spent(seen.spend, days, list_url("costs.ledgerentry")),
            cost_cards.open_alerts(seen.alerts, alerts_url(None)),
        ],
        [_spend(seen.spend, None), tenants, _alerts(seen.alerts, None)],
    )


def _spend(spend: Spend, tenant: Tenant | None) -> Section:
    title = {Unit.DAY: "Spend by day", Unit.WEEK: "Spend by week", Unit.MONTH: "Spend by month"}[spend.unit]
    if not any(any(bar.amounts.values()) for bar in spend.bars):
        return Section("spend", title, "Nothing was spent in these days.")
    note = "" if spend.unit is Unit.DAY else f"The range may begin and end within a {spend.unit}."
    return Section("spend", title, note, cost_tables.spend(spend, tenant), cost_charts.bars(spend))


def _month(seen: TenantFigures, now: datetime) -> Section:
    month, found = seen.month, seen.month.forecast
    today, spent = month.so_far[-1]
    ahead = [each for each in found.totals if each.day >= today]
    title = f"{found.since:%B %Y}, spent and forecast"
    note = _made(seen, now)
    if month.limit is not None and not cost_charts.limit_in_sight(
        month.limit, max([spent, *(each.band.high_95 for each in ahead)])
    ):
        note += f" The month's budget, {money(month.limit)}, is far above what the chart shows."
    if not spent and not ahead:
        return Section("forecast", title, note)
    chart = cost_charts.fan(month.so_far, ahead, limit=month.limit)
    return Section("forecast", title, note, cost_tables.month(month.so_far, ahead), chart, kind="line")


def _made(seen: TenantFigures, now: datetime) -> str:
    found = seen.month.forecast
    if found.made_at is None or found.method == Method.NONE:
        return found.reason
    age, days = cost_lists.age(found.made_at, now), f"{found.observed_days:,} whole days"
    return f"Forecast made {age} ago by “{found.method}”, of {days}. {found.reason}"


def _budgets(seen: TenantFigures, tenant: Tenant, now: datetime) -> Section:
    url = list_url("costs.budget", tenant_id__exact=tenant.pk)
    if not seen.budgets.rows:
        note = "There is no active budget: nothing limits what this tenant spends."
        return Section("budgets", "Budgets", note, more="Budgets", more_url=url)
    number = seen.budgets.number
    return Section(
        "budgets",
        "Budgets",
        "Their present periods; those of which most is spent come first.",
        cost_tables.budgets(seen.budgets, now),
        more=f"All {number:,} active budgets" if number > BUDGETS else "",
        more_url=url,
    )


def _campaigns(seen: TenantFigures) -> Section:
    table = cost_lists.campaigns(seen)
    note = "" if table else "No campaign cost anything in these days."
    return Section("campaigns", "Campaigns that cost most", note, table)


def _models(seen: TenantFigures, tenant: Tenant) -> Section:
    table = cost_lists.models(seen, tenant)
    note = "" if table else "No model was called in these days."
    return Section("models", "Models that cost most", note, table)


def _alerts(alerts: Alerts, tenant_id: UUID | None) -> Section:
    if not alerts.rows:
        return Section("alerts", "Open alerts", "There is none.")
    return Section(
        "alerts",
        "Open alerts",
        f"Not acknowledged: {cost_lists.by_level(alerts)}.",
        cost_lists.alerts(alerts),
        more="All of them" if sum(alerts.counts.values()) > ALERTS else "",
        more_url=alerts_url(tenant_id),
    )
