"""The lists of the admin's page Costs: what cost most, and the newest alerts."""

from datetime import datetime
from decimal import Decimal

from django.utils.timesince import timesince

from apps.analytics.cost_figures import COUNTED, DEAREST, Alerts, TenantFigures
from apps.analytics.cost_platform import PlatformFigures
from apps.analytics.cost_ranges import percent
from apps.analytics.cost_tables import Table, ledger_url
from apps.analytics.table_cells import long_link, shortened
from apps.common.admin.columns import EMPTY, badge, link, money, unbroken
from apps.costs.queries import Breakdown, Costs
from apps.tenants.models import Tenant

# Characters of an alert.
_MESSAGE = 120
_HEADERS = ["cost", "share", "attempts"]


def campaigns(seen: TenantFigures) -> Table | None:
    """Named by their names; the last row is of all others, and of what was for no campaign."""
    of_campaigns = [group for group in seen.campaigns.groups if group.values[0] is not None][:DEAREST]
    if not of_campaigns:
        return None
    rows = [
        [
            long_link("campaigns.campaign", pk, seen.names.get(pk, str(pk))),
            *_share(group.costs, seen.campaigns),
        ]
        for group in of_campaigns
        for pk in group.values
    ]
    shown = sum((group.costs for group in of_campaigns), Costs())
    rows.append(_rest(seen.campaigns, shown, "other campaigns, and none"))
    return {"headers": ["campaign", *_HEADERS], "rows": rows}


def models(seen: TenantFigures, tenant: Tenant) -> Table | None:
    groups = seen.models.groups[:DEAREST]
    if not groups:
        return None
    since, until = seen.spend.bars[0].first, seen.spend.bars[-1].last
    rows = []
    for group in groups:
        provider, model = group.values
        url = ledger_url(tenant, since, until, provider__exact=provider, model__exact=model)
        rows.append([link(url, f"{model} ({provider})"), *_share(group.costs, seen.models)])
    shown = sum((group.costs for group in groups), Costs())
    if seen.models.number > len(groups):
        rows.append(_rest(seen.models, shown, "other models"))
    return {"headers": ["model", *_HEADERS], "rows": rows}


def tenants(seen: PlatformFigures, *, page_url: str, days: int) -> Table | None:
    rows = [
        [
            link(f"{page_url}?tenant={pk}&days={days}", shortened(seen.names.get(pk, str(pk)))),
            money(value),
            _percent(value, seen.spend.total),
        ]
        for pk, value in seen.tenants
    ]
    return {"headers": ["tenant", "cost", "share"], "rows": rows} if rows else None


def alerts(found: Alerts) -> Table:
    rows = [
        [
            badge(each.level, each.get_level_display()),
            long_link("notifications.alert", each.pk, each.message, characters=_MESSAGE),
            each.rule,
            unbroken(f"{each.created_at:%Y-%m-%d %H:%M}"),
        ]
        for each in found.rows
    ]
    return {"headers": ["level", "alert", "rule", "raised (UTC)"], "rows": rows}


def number_of(found: Alerts) -> str:
    number = sum(found.counts.values())
    return f"{number:,}+" if number >= COUNTED else f"{number:,}"


def by_level(found: Alerts) -> str:
    """The gravest first."""
    said = [f"{count:,} {level}" for level, count in reversed(found.counts.items()) if count]
    return ", ".join(said) or "none"


def age(made_at: datetime, now: datetime) -> str:
    return timesince(made_at, now, depth=1).replace("\xa0", " ")


def _share(costs: Costs, of: Breakdown) -> list[str]:
    return [money(costs.amount), _percent(costs.amount, of.total.amount), f"{costs.attempts:,}"]


def _rest(of: Breakdown, shown: Costs, name: str) -> list[str]:
    rest = of.total.amount - shown.amount
    return [name, money(rest), _percent(rest, of.total.amount), f"{of.total.attempts - shown.attempts:,}"]


def _percent(part: Decimal, whole: Decimal) -> str:
    share = percent(part, whole)
    return EMPTY if share is None else f"{share} %"
