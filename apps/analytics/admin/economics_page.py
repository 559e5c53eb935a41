"""The admin's page Economics: what a tenant's accounts and campaigns cost and earn this month."""

from datetime import date
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from apps.analytics.economics import Economics
from apps.analytics.queries import Order, Subject, Table, economics
from apps.analytics.table_cells import long_link
from apps.analytics.tenant_choice import ChoiceError, all_choices, choices_for, chosen_tenant
from apps.common.admin.columns import EMPTY, money, unbroken
from apps.costs.periods import period_start
from apps.tenants.models import Tenant

# The dearest of them; the API has all.
SHOWN = 50
_HEADERS = ["AI cost", "Messages sent", "Cost per message", "Revenue", "Margin", "AI cost of revenue"]
_LABELS = {Subject.ACCOUNT: "messaging.account", Subject.CAMPAIGN: "campaigns.campaign"}


def economics_page(request: HttpRequest) -> TemplateResponse:
    if not request.user.has_perm("analytics.view_revenueentry"):
        raise PermissionDenied
    choices = all_choices()
    context = {**admin.site.each_context(request), "title": "Economics", "choices": choices}
    status, wanted, find = 200, request.GET.get("tenant", ""), request.GET.get("find", "").strip()
    try:
        choices = choices_for(find) if find else choices
        tenant = chosen_tenant(wanted) if wanted else next(iter(choices.tenants), None)
    except ChoiceError as error:
        status = 400
        context["problem"] = str(error)
    else:
        context |= {"tenant": tenant, "choices": choices.having(tenant)}
        context |= _of(tenant) if tenant else {}
    return TemplateResponse(request, "admin/economics.html", context, status=status)


def _of(tenant: Tenant) -> dict[str, Any]:
    today = period_start("day", at=timezone.now(), time_zone=tenant.time_zone)
    since = today.replace(day=1)
    found = {by: _table(tenant, by, since, today) for by in Subject}
    return {
        "since": since,
        "until": today,
        "shown": SHOWN,
        "revenue_known": found[Subject.ACCOUNT].total.revenue is not None,
        "tables": [(f"By {by}", _cells(by, table), table.number) for by, table in found.items()],
    }


def _table(tenant: Tenant, by: Subject, since: date, until: date) -> Table:
    return economics(
        tenant_id=tenant.pk,
        time_zone=tenant.time_zone,
        by=by,
        since=since,
        until=until,
        order=(Order.AI_COST, True),
        limit=SHOWN,
    )


def _cells(by: Subject, table: Table) -> dict[str, Any] | None:
    """None: there is nothing to show."""
    if table.total == Economics():
        return None
    rows = [
        [long_link(_LABELS[by], row.id, row.name or str(row.id)), *_figures(row.figures)]
        for row in table.rows
    ]
    rows.append([f"of no {by}", *_figures(table.unattributed)])
    rows.append(["together", *_figures(table.total)])
    return {"headers": [str(by), *_HEADERS], "rows": rows}


def _figures(figures: Economics) -> list[str]:
    share = figures.cost_share
    amounts = [figures.cost_per_message, figures.revenue, figures.margin]
    per_message, revenue, margin = (EMPTY if each is None else money(each) for each in amounts)
    return [
        money(figures.ai_cost),
        f"{figures.messages_sent:,}",
        per_message,
        revenue,
        margin,
        EMPTY if share is None else unbroken(f"{share * 100:.1f} %"),
    ]
