"""The admin's page Costs: a tenant's spend, budgets, forecast and alerts, as charts and as tables."""

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, QueryDict
from django.template.response import TemplateResponse
from django.utils import timezone

from apps.analytics import cost_figures, cost_platform, cost_sections
from apps.analytics.cost_ranges import RANGES
from apps.analytics.cost_sections import Section
from apps.analytics.tenant_choice import (
    ChoiceError,
    Choices,
    all_choices,
    choices_for,
    chosen_tenant,
    cut,
)
from apps.tenants.models import Tenant

DEFAULT_DAYS = 30
ALL = "all"
# Of all tenants, longer ranges would read too much.
PLATFORM_DAYS = 30


@dataclass(frozen=True, slots=True)
class Choice:
    """Without a tenant it is the whole platform."""

    tenant: Tenant | None
    days: int


def costs_page(request: HttpRequest) -> TemplateResponse:
    if not request.user.has_perm("costs.view_ledgerentry"):
        raise PermissionDenied
    now = timezone.now()
    choices = all_choices()
    context = {
        **admin.site.each_context(request),
        "title": "Costs",
        "ranges": list(RANGES),
        "choices": choices,
    }
    status, find = 200, request.GET.get("find", "").strip()
    try:
        choices = choices_for(find) if find else choices
        choice = _choice(request.GET, choices, now)
    except ChoiceError as error:
        status = 400
        context |= {"problem": str(error), "days": DEFAULT_DAYS}
    else:
        if choice is not None:
            context |= _shown(choice, now) | {"choices": choices.having(choice.tenant)}
    return TemplateResponse(request, "admin/costs.html", context, status=status)


def _choice(asked: QueryDict, choices: Choices, now: datetime) -> Choice | None:
    """None while there is no tenant. Raises ChoiceError."""
    if unknown := sorted(set(asked) - {"tenant", "days", "find"}):
        raise ChoiceError(f"There is no parameter “{cut(unknown[0])}”; there are: tenant, days, find.")
    days, wanted = asked.get("days") or str(DEFAULT_DAYS), asked.get("tenant", "")
    if days not in map(str, RANGES):
        raise ChoiceError(f"“{cut(days)}” days can't be shown; {', '.join(map(str, RANGES))} can.")
    if wanted == ALL:
        if int(days) > PLATFORM_DAYS:
            raise ChoiceError(
                f"Of all tenants, {PLATFORM_DAYS} days are shown at most. Choose fewer days, or one tenant."
            )
        return Choice(None, int(days))
    if not choices.tenants:
        return None
    tenant = chosen_tenant(wanted) if wanted else _tenant_at_first(choices, now)
    return Choice(tenant, int(days))


def _tenant_at_first(choices: Choices, now: datetime) -> Tenant:
    """The first that was found; of all, the one that spent most in the last week."""
    dearest = None if choices.find else cost_platform.dearest_tenant(now=now)
    return chosen_tenant(str(dearest)) if dearest else choices.tenants[0]


def _shown(choice: Choice, now: datetime) -> dict[str, Any]:
    if choice.tenant is None:
        of_all = cost_platform.figures_of_platform(days=choice.days, now=now)
        found = cost_sections.of_platform(of_all, days=choice.days)
    else:
        figures = cost_figures.figures_of_tenant(tenant=choice.tenant, days=choice.days, now=now)
        found = cost_sections.of_tenant(choice.tenant, figures, days=choice.days, now=now)
    return {
        "tenant": choice.tenant,
        "platform": choice.tenant is None,
        "days": choice.days,
        "scope": found.scope,
        "cards": found.cards,
        "sections": [_drawn(section) for section in found.sections],
    }


def _drawn(section: Section) -> dict[str, Any]:
    """With what the canvas is given, as JSON."""
    values = {field.name: getattr(section, field.name) for field in fields(section)}
    if section.chart:
        values |= {"data": json.dumps(section.chart.data), "options": json.dumps(section.chart.options)}
    return values
