from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import path
from unfold.decorators import display

from apps.ai import breaker_admin
from apps.ai.matrix_page import matrix_page
from apps.ai.models import BreakerChange, Deployment, Generation, PromptTemplate, RoutingPreference
from apps.ai.services.prompts import activate_prompt
from apps.common.admin.base import Admin, LongTableAdmin
from apps.common.admin.columns import (
    TENANT,
    Amount,
    Badge,
    IdLink,
    ListLink,
    RowLink,
    ShortId,
    preformatted,
)
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation
from apps.tenants.admin.forms import TenantChoice

ACCOUNT = IdLink("account", "account_id", to="messaging.account")
CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
USER = IdLink("user", "user_id", to="tenants.user", name="email")


@admin.register(Deployment)
class DeploymentAdmin(breaker_admin.WithBreakers, Admin):
    deletable = True
    empty_hint = (
        "Without a deployment nothing is generated. Make the default ones: manage.py ensure_deployments"
    )
    list_display = [
        "name",
        "enabled",
        breaker_admin.BREAKER,
        "provider",
        "model",
        "model_class",
        "weight",
        "attempt_timeout",
    ]
    list_filter = ["enabled", "provider", "model_class"]
    search_fields = ["name", "model"]
    search_help_text = "Name or model"
    fieldsets = [
        (None, {"fields": ["name", ("provider", "model_class"), ("model", "azure_deployment")]}),
        ("Routing", {"fields": [("enabled", "weight", "attempt_timeout")]}),
    ]
    operations = breaker_admin.OPERATIONS
    inlines = [breaker_admin.BreakerChangeInline]
    lists = [ListLink("changes of its breaker", "ai.breakerchange", deployment__id__exact="pk")]
    readonly_fields = [breaker_admin.BREAKER, breaker_admin.FIGURES, *lists]
    add_fieldsets = fieldsets
    fieldsets = [
        *fieldsets,
        ("Breaker", {"fields": [(breaker_admin.BREAKER, breaker_admin.FIGURES, *lists)]}),
    ]


@admin.register(BreakerChange)
class BreakerChangeAdmin(LongTableAdmin):
    empty_hint = "Each change of a deployment's breaker leaves a row, whether by itself or by an operator."
    list_display = [
        "created_at",
        RowLink("deployment", "deployment"),
        Badge("before", "before"),
        Badge("after", "after"),
        "reason",
        breaker_admin.BY,
    ]
    list_select_related = ["deployment"]
    list_filter = [MadeInFilter, "after", "deployment", ("by", admin.EmptyFieldListFilter)]
    search_ids = ["pk", "deployment_id", "by"]
    search_help_text = "8+ digits of its id, or of a deployment or operator"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (RowLink("deployment", "deployment"), "created_at"),
                    (Badge("before", "before"), Badge("after", "after")),
                    ("reason", breaker_admin.BY),
                ]
            },
        )
    ]


@admin.register(PromptTemplate)
class PromptTemplateAdmin(Admin):
    empty_hint = "The prompts that the campaigns need come with the migrations."
    list_display = ["key", "version", "is_active", "task_kind", "max_tokens", "created_at"]
    list_filter = ["is_active", "task_kind", "key"]
    search_fields = ["key"]
    search_help_text = "Key"
    operations = [
        Operation(
            "activate",
            "Activate",
            "This version is used from now on, in place of the present one.",
            lambda prompt, order: activate_prompt(prompt=prompt),
            "Activated",
            when=lambda prompt: not prompt.is_active,
        )
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": [("key", "version"), ("task_kind", "max_tokens")],
                "description": "A new version does nothing until it is activated.",
            },
        ),
        ("Text", {"fields": ["system", "body", "output_schema"]}),
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [("key", "version", "is_active"), ("task_kind", "max_tokens")],
                "description": "A version never changes: add the next one, then activate it.",
            },
        ),
        ("Text", {"fields": ["system", "body", "output_schema"]}),
    ]

    def has_change_permission(self, request: HttpRequest, obj: PromptTemplate | None = None) -> bool:
        return False


@admin.register(Generation)
class GenerationAdmin(LongTableAdmin):
    empty_hint = "Campaigns, and requests to the API, ask the AI; each question leaves a row."
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "task_kind",
        "source",
        "model",
        Amount("cost", "cost"),
        "attempts",
        CAMPAIGN,
        TENANT,
        "created_at",
    ]
    list_filter = [MadeInFilter, "state", "task_kind", "source", "deployment"]
    search_ids = ["pk", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of its id, or of a campaign or tenant"
    lists = [
        ListLink("ledger entries", "costs.ledgerentry", generation_id="pk", occurred_at="created_at"),
        ListLink("holds", "costs.hold", generation_id="pk"),
        ListLink("contents", "content.content", generation__id__exact="pk"),
    ]
    fieldsets = [
        (None, {"fields": [("id", Badge("state", "state")), (TENANT, CAMPAIGN, ACCOUNT, USER)]}),
        ("Question", {"fields": [("task_kind", "priority", "max_tokens"), "prompt", "variables"]}),
        ("Answer", {"fields": [("source", "deployment", "model"), "answer", "data", "error_code", "error"]}),
        ("Routing", {"fields": ["explain"]}),
        (
            "Cost",
            {
                "fields": [
                    (Amount("cost", "cost"), "input_tokens", "cached_tokens", "output_tokens"),
                    tuple(lists),
                ]
            },
        ),
        (
            "Times",
            {
                "fields": [
                    ("created_at", "started_at", "finished_at"),
                    ("latency", "attempts", "lease_expires_at"),
                ]
            },
        ),
    ]

    @display(description="text")
    def answer(self, generation: Generation) -> str:
        return preformatted(generation.text)


class RoutingPreferenceForm(TenantChoice):
    class Meta:
        model = RoutingPreference
        fields = ["tenant", "preference"]


@admin.register(RoutingPreference)
class RoutingPreferenceAdmin(Admin):
    deletable = True
    empty_hint = "Every tenant's tasks go to the model that fits the task. A preference changes that for one."
    form = RoutingPreferenceForm
    list_display = [TENANT, "preference", "created_at"]
    list_display_links = ["created_at"]
    list_filter = ["preference"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "8+ digits of a tenant's id"
    ordering = ["-pk"]
    add_fieldsets = [(None, {"fields": ["tenant", "preference"]})]
    fieldsets = [(None, {"fields": [TENANT, "preference"]})]
    readonly_fields = [TENANT]

    def get_urls(self) -> list[Any]:
        matrix = self.admin_site.admin_view(matrix_page)
        return [path("matrix/", matrix, name="ai_matrix"), *super().get_urls()]
