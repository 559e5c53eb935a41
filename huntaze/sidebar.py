"""The admin's navigation, by what an operator is about, not by app."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy

Item = dict[str, Any]


def _list(title: str, icon: str, model: str) -> Item:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{model}_changelist")}


def _group(title: str, *items: Item) -> Item:
    return {"title": title, "separator": True, "collapsible": False, "items": list(items)}


_DISPATCH = reverse_lazy("admin:messaging_dispatch")


_MATRIX = reverse_lazy("admin:ai_matrix")


_ECONOMICS = reverse_lazy("admin:analytics_economics")


def _on_accounts(request: HttpRequest) -> bool:
    """The page Dispatch lies below that of the accounts, but is another one."""
    accounts = str(reverse_lazy("admin:messaging_account_changelist"))
    return request.path.startswith(accounts) and request.path != str(_DISPATCH)


def _on_preferences(request: HttpRequest) -> bool:
    """Likewise the fallback matrix, below the tenants' preferences."""
    preferences = str(reverse_lazy("admin:ai_routingpreference_changelist"))
    return request.path.startswith(preferences) and request.path != str(_MATRIX)


def _on_revenue(request: HttpRequest) -> bool:
    """Likewise the economics, below the revenue that they are reckoned with."""
    revenue = str(reverse_lazy("admin:analytics_revenueentry_changelist"))
    return request.path.startswith(revenue) and request.path != str(_ECONOMICS)


NAVIGATION = [
    {"items": [{"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
    _group(
        "Campaigns",
        _list("Campaigns", "campaign", "campaigns_campaign"),
        _list("Steps", "checklist", "campaigns_workflowstep"),
        _list("Accounts of campaigns", "group_work", "campaigns_campaignaccount"),
        _list("Contents", "article", "content_content"),
    ),
    _group(
        "Messaging",
        {**_list("Accounts", "account_circle", "messaging_account"), "active": _on_accounts},
        _list("Fans", "favorite", "messaging_fan"),
        _list("Outboxes", "outbox", "messaging_outbox"),
        _list("Messages", "chat", "messaging_message"),
        _list("All messages, archived too", "inventory_2", "messaging_messagerecord"),
        _list("Message templates", "edit_note", "messaging_messagetemplate"),
    ),
    _group(
        "Dispatch",
        {"title": "Dispatch", "icon": "speed", "link": _DISPATCH},
        _list("Send limits", "timer", "messaging_sendlimit"),
        _list("Platforms", "public", "messaging_platformstate"),
        _list("Workers", "engineering", "messaging_dispatchworker"),
        _list("Blocked layers", "block", "messaging_sendblock"),
        _list("Limiter's epoch", "history_toggle_off", "messaging_dispatchepoch"),
    ),
    _group(
        "AI",
        _list("Generations", "auto_awesome", "ai_generation"),
        _list("Deployments", "hub", "ai_deployment"),
        _list("Breakers' changes", "electric_bolt", "ai_breakerchange"),
        {
            **_list("Tenants' preferences", "thumb_up", "ai_routingpreference"),
            "active": _on_preferences,
        },
        _list("Preferences by task", "tune", "ai_taskpreference"),
        {"title": "Fallback matrix", "icon": "alt_route", "link": _MATRIX},
        _list("Prompts", "description", "ai_prompttemplate"),
    ),
    _group(
        "Costs",
        {"title": "Costs", "icon": "bar_chart", "link": reverse_lazy("admin_costs")},
        _list("Ledger", "receipt_long", "costs_ledgerentry"),
        _list("Holds", "lock_clock", "costs_hold"),
        _list("Budgets", "savings", "costs_budget"),
        _list("Budget counters", "speed", "costs_budgetcounter"),
        _list("Prices", "sell", "costs_price"),
        _list("Forecasts", "online_prediction", "costs_forecast"),
        _list("Exchange rates", "currency_exchange", "costs_exchangerate"),
        _list("Providers' bills", "upload_file", "costs_usageimport"),
        _list("Bills' differences", "difference", "costs_usagedifference"),
        _list("Bills' lines", "list_alt", "costs_usageline"),
        _list("Bills' corrections", "rule", "costs_usagecorrection"),
        _list("Recommendations", "lightbulb", "ai_recommendation"),
        _list("Replays", "science", "ai_replay"),
        _list("Questions of replays", "quiz", "ai_replayitem"),
        _list("Analyses", "query_stats", "ai_analysis"),
    ),
    _group(
        "Economics",
        {"title": "Economics", "icon": "query_stats", "link": _ECONOMICS},
        {**_list("Revenue", "payments", "analytics_revenueentry"), "active": _on_revenue},
    ),
    _group(
        "Notifications",
        _list("Alerts", "notifications", "notifications_alert"),
        _list("Deliveries", "send", "notifications_delivery"),
        _list("Targets", "person_pin_circle", "notifications_notificationtarget"),
    ),
    _group(
        "Operations",
        _list("Failed tasks", "error", "operations_deadletter"),
        _list("Scheduled runs", "schedule", "operations_jobrun"),
        _list("Requests by minute", "http", "operations_requesttally"),
        _list("Idempotency records", "repeat_one", "common_idempotencyrecord"),
        _list("Changes in this admin", "history", "admin_logentry"),
    ),
    _group(
        "Tenants & access",
        _list("Tenants", "apartment", "tenants_tenant"),
        _list("Users", "person", "tenants_user"),
        _list("Memberships", "badge", "tenants_membership"),
        _list("API keys", "key", "tenants_apikey"),
        _list("Groups", "groups", "auth_group"),
        _list("Flags", "flag", "flags_flag"),
        _list("Flag overrides", "tune", "flags_flagoverride"),
    ),
]


def navigation(request: object) -> list[Item]:
    return NAVIGATION
