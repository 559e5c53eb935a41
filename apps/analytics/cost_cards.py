"""The cards of the admin's page Costs: a figure each, with a link to what is behind it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.analytics import cost_lists
from apps.analytics.cost_figures import Alerts, TenantFigures
from apps.analytics.cost_ranges import Spend
from apps.common.admin.columns import list_url, money

# Percent: what is beyond grew from next to nothing, and its number would only say how little that was.
_MANIFOLD = 1000


@dataclass(frozen=True, slots=True)
class Card:
    title: str
    figure: str
    note: str
    url: str


def spent(spend: Spend, days: int, url: str) -> Card:
    before, change = f"the {days} days before", spend.change
    if change is None:
        note = f"{money(spend.before)} in {before}"
    elif change > _MANIFOLD:
        note = f"more than {_MANIFOLD // 100} times as much as in {before} ({money(spend.before)})"
    elif change:
        direction = "more" if change > 0 else "less"
        note = f"{abs(change):,} % {direction} than in {before} ({money(spend.before)})"
    else:
        note = f"as much as in {before} ({money(spend.before)})"
    return Card(f"Spent in {days} days", money(spend.total), note, url)


def ahead(seen: TenantFigures, url: str) -> Card:
    found = seen.month.forecast
    title = f"Forecast for {found.since:%B}"
    if found.month_end is None:
        figure = "None yet" if found.made_at is None else "Not enough days yet"
        return Card(title, figure, f"{money(found.spent.amount)} spent so far", url)
    band = found.month_end
    interval = f"with 80 % from {money(band.low_80)} to {money(band.high_80)}"
    note = f"{interval}; {money(found.spent.amount)} spent so far"
    return Card(title, money(band.point), note, url)


def open_alerts(alerts: Alerts, url: str) -> Card:
    return Card("Open alerts", cost_lists.number_of(alerts), cost_lists.by_level(alerts), url)


def alerts_url(tenant_id: UUID | None) -> str:
    whose: dict[str, Any] = {"tenant_id__exact": tenant_id} if tenant_id else {}
    return list_url("notifications.alert", acknowledged_at__isempty=1, **whose)
