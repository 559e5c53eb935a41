"""The operator's first page: live figures, each a link to the rows behind it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.analytics import overview
from apps.common.admin.columns import list_url, money
from apps.common.money import LEDGER_CURRENCY

Context = dict[str, Any]


@dataclass(frozen=True)
class Card:
    """A figure. `tone` is a label's colour where the figure asks for attention."""

    title: str
    figure: str
    note: str
    url: str
    icon: str
    tone: str = ""


@dataclass(frozen=True)
class Step:
    done: bool
    text: str
    how: str
    url: str


def dashboard(request: HttpRequest, context: Context) -> Context:
    """Unfold's callback for the index page; it runs in the system's door."""
    figures = overview.overview(now=timezone.now())
    start = overview.beginning()
    return {**context, "cards": _cards(figures), "steps": _steps(start) if start else []}


def _cards(seen: overview.Overview) -> list[Card]:
    return [
        Card(
            "Campaigns under way",
            f"{sum(seen.campaigns.values()):,}",
            _list({"to approve": seen.campaigns.get("awaiting_approval", 0), **_campaigns(seen)}),
            list_url("campaigns.campaign"),
            "campaign",
            "warning" if seen.campaigns.get("awaiting_approval") else "",
        ),
        Card(
            "Messages made in 24 h",
            _up_to(sum(seen.messages.values()), overview.MESSAGES),
            _list(seen.messages) or "none",
            list_url("messaging.messagerecord", made_in="day"),
            "chat",
        ),
        Card(
            "Unknown outcomes",
            _up_to(seen.unknown, overview.BOUND),
            "the platform hasn't said whether they arrived" if seen.unknown else "none",
            list_url("messaging.message", state__exact="unknown"),
            "help",
            "warning" if seen.unknown else "",
        ),
        Card(
            "Accounts",
            f"{seen.accounts:,}",
            _list({"due now": seen.accounts_due, "paused": seen.accounts_paused}) or "none due, none paused",
            list_url("messaging.account"),
            "account_circle",
        ),
        Card(
            "Spent today (UTC)",
            _money(seen.spent_today),
            f"{_money(seen.held)} held for calls under way" if seen.held else "nothing held",
            f"{reverse('admin_costs')}?tenant=all&days=7",
            "receipt_long",
        ),
        Card(
            "Generations under way",
            f"{sum(seen.generations.values()):,}",
            _list(seen.generations) or "none",
            list_url("ai.generation"),
            "auto_awesome",
        ),
        Card(
            "Failed tasks",
            _up_to(seen.dead_letters, overview.BOUND),
            "open: replay or discard them" if seen.dead_letters else "none open",
            list_url("operations.deadletter", state__exact="open"),
            "error",
            "danger" if seen.dead_letters else "",
        ),
        Card(
            "Alerts",
            _up_to(seen.alerts, overview.BOUND),
            "not acknowledged" if seen.alerts else "none open",
            list_url("notifications.alert", acknowledged_at__isempty=1),
            "notifications",
            "warning" if seen.alerts else "",
        ),
        Card(
            "Tenants",
            f"{seen.tenants:,}",
            _list({"paused": seen.tenants_paused}) or "none paused",
            list_url("tenants.tenant"),
            "apartment",
        ),
    ]


def _steps(had: overview.Beginning) -> list[Step]:
    return [
        Step(
            had.tenant,
            "Make a tenant and its owner",
            "manage.py create_tenant NAME --email OWNER",
            list_url("tenants.tenant"),
        ),
        Step(
            had.api_key,
            "Make an API key",
            "manage.py create_api_key TENANT --role manager",
            list_url("tenants.apikey"),
        ),
        Step(had.account, "Connect an account", "POST /api/v2/accounts", list_url("messaging.account")),
        Step(had.fan, "Add its fans", "POST /api/v2/accounts/{id}/fans", list_url("messaging.fan")),
        Step(
            had.deployment,
            "Have a model to write with",
            "manage.py ensure_deployments",
            list_url("ai.deployment"),
        ),
        Step(
            False,
            "Start the first campaign",
            "POST /api/v2/campaigns/hybrid",
            list_url("campaigns.campaign"),
        ),
    ]


def _campaigns(seen: overview.Overview) -> Mapping[str, int]:
    return {status: count for status, count in seen.campaigns.items() if status != "awaiting_approval"}


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _up_to(count: int, bound: int) -> str:
    return f"{bound:,}+" if count >= bound else f"{count:,}"


def _money(sums: Mapping[str, Decimal]) -> str:
    sums = sums or {LEDGER_CURRENCY: Decimal(0)}
    return " + ".join(f"{money(value)} {currency}" for currency, value in sorted(sums.items()))
