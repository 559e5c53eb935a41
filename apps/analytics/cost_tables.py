"""The tables of the admin's page Costs. Each is None where it would have no row."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.safestring import SafeString

from apps.analytics.cost_charts import of_series, series
from apps.analytics.cost_figures import Budgets
from apps.analytics.cost_ranges import Bar, Spend
from apps.analytics.table_cells import two_lines
from apps.common.admin.columns import EMPTY, badge, change_url, link, list_url, money, unbroken
from apps.costs.admin.budgets import WHAT_FOR
from apps.costs.admin.gauges import gauge
from apps.costs.forecast_reading import BudgetOutlook
from apps.costs.forecasting.bands import DayBand
from apps.costs.periods import period_bounds
from apps.tenants.models import Tenant

Table = dict[str, Any]
_BUDGET = ("budget", "this period", "spent, held", "limit", "mode", "until", "exhausted by forecast")
_MOMENT = timedelta(microseconds=1)


def spend(found: Spend, tenant: Tenant | None) -> Table:
    names = series(found.providers)
    rows = [
        [
            _days(bar, tenant),
            *(money(of_series(bar.amounts, name, names)) for name in names),
            money(bar.total),
        ]
        for bar in found.bars
    ]
    sums = {
        name: sum((of_series(bar.amounts, name, names) for bar in found.bars), Decimal(0)) for name in names
    }
    rows.append(["together", *map(money, sums.values()), money(found.total)])
    return {"headers": [str(found.unit), *names, "together"], "rows": rows}


def month(so_far: Sequence[tuple[date, Decimal]], ahead: Sequence[DayBand]) -> Table:
    spent, bands = dict(so_far), {each.day: each.band for each in ahead}
    rows = []
    for day in sorted({*spent, *bands}):
        band = bands.get(day)
        known = money(spent[day]) if day in spent else EMPTY
        if band is None:
            rows.append([str(day), known, EMPTY, EMPTY, EMPTY])
        else:
            by_80 = f"{money(band.low_80)} to {money(band.high_80)}"
            by_95 = f"{money(band.low_95)} to {money(band.high_95)}"
            rows.append([str(day), known, money(band.point), by_80, by_95])
    return {"headers": ["by the end of", "spent", "forecast", "with 80 %", "with 95 %"], "rows": rows}


def budgets(found: Budgets, now: datetime) -> Table:
    rows = []
    for each in found.rows:
        standing = each.standing(at=now)
        name = link(change_url("costs.budget", each.pk), f"{each.get_scope_display()}, a {each.period}")
        last = (standing.end - _MOMENT).astimezone(ZoneInfo(each.time_zone)).date()
        outlook = found.outlooks.get(each.pk)
        rows.append(
            [
                name if WHAT_FOR(each) == EMPTY else two_lines(name, WHAT_FOR(each)),
                gauge(standing),
                two_lines(money(standing.spent), unbroken(f"{money(standing.held)} held")),
                money(standing.limit),
                badge(each.mode, each.get_mode_display()),
                unbroken(str(last)),
                "already" if standing.exhausted and standing.limit else exhausted(outlook),
            ]
        )
    return {"headers": _BUDGET, "rows": rows}


def exhausted(outlook: BudgetOutlook | None) -> SafeString | str:
    """The day on which the limit is reached, and its interval of 80 % in a line below."""
    if outlook is None or outlook.exhausted_on is None:
        return EMPTY
    found = outlook.exhausted_on
    if found.earliest_80 is None:
        return "not in this period"
    end = f" to {found.latest_80}" if found.latest_80 else ""
    point, interval = found.point or "not in this period", f"80 %: from {found.earliest_80}{end}"
    return two_lines(unbroken(str(point)), unbroken(interval))


def ledger_url(tenant: Tenant, since: date, until: date, **lookups: str) -> str:
    """The entries of some days of a tenant's calendar."""
    first, _ = period_bounds("day", start=since, time_zone=tenant.time_zone)
    _, end = period_bounds("day", start=until, time_zone=tenant.time_zone)
    span = {"occurred_at__gte": first.isoformat(), "occurred_at__lt": end.isoformat()}
    return list_url("costs.ledgerentry", tenant_id__exact=tenant.pk, **span, **lookups)


def _days(bar: Bar, tenant: Tenant | None) -> SafeString | str:
    """A link to their entries; those of all tenants' days begin and end at many instants."""
    text = unbroken(str(bar.first) if bar.first == bar.last else f"{bar.first} to {bar.last}")
    return link(ledger_url(tenant, bar.first, bar.last), text) if tenant else text
