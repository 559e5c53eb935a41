from django.contrib import admin

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import (
    TENANT,
    Amount,
    Badge,
    IdLink,
    Mark,
)
from apps.common.admin.filters import MadeInFilter
from apps.costs.models import Hold, LedgerEntry

GENERATION = IdLink("generation", "generation_id", to="ai.generation", name=None)
ACCOUNT = IdLink("account", "account_id", to="messaging.account")
CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
USER = IdLink("user", "user_id", to="tenants.user", name="email")


@admin.register(Hold)
class HoldAdmin(LongTableAdmin):
    empty_hint = "Every attempt at a provider first sets its greatest possible cost aside."
    list_display = [
        "expires_at",
        GENERATION,
        "attempt",
        Badge("state", "state"),
        Amount("bound", "bound", rounded=True),
        "provider",
        "model",
        TENANT,
        "ended_at",
    ]
    list_filter = [MadeInFilter, "state", "provider", "model"]
    search_ids = ["pk", "generation_id"]
    search_help_text = "8+ digits of the generation's id or the row's own"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    TENANT,
                    (GENERATION, "attempt"),
                    (Badge("state", "state"), Amount("bound", "bound")),
                ]
            },
        ),
        ("Price", {"fields": [("provider", "model", "task_kind"), "price"]}),
        ("For", {"fields": [(ACCOUNT, CAMPAIGN, USER)]}),
        ("Times", {"fields": [("occurred_at", "expires_at", "ended_at")]}),
    ]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LongTableAdmin):
    empty_hint = "The first call to a provider makes the first entry."
    ordering = ("-occurred_at", "-pk")
    list_display = [
        "occurred_at",
        Amount("amount", "amount"),
        TENANT,
        "provider",
        "model",
        "task_kind",
        Mark("estimated", "estimated"),
        GENERATION,
    ]
    list_filter = ["provider", "model", "task_kind", "estimated"]
    search_ids = ["generation_id", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of a generation, campaign or tenant"
    fieldsets = [
        (
            None,
            {"fields": [TENANT, ("occurred_at", Amount("amount", "amount"), Mark("estimated", "estimated"))]},
        ),
        (
            "Attempt",
            {"fields": [(GENERATION, "attempt", "sequence"), ("provider", "model", "task_kind"), "price"]},
        ),
        ("Usage", {"fields": [("input_tokens", "cached_tokens", "output_tokens")]}),
        ("For", {"fields": [(ACCOUNT, CAMPAIGN, USER)]}),
    ]
