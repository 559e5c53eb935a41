from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from apps.ai.admin import breakers
from apps.ai.models import BreakerChange, Deployment
from apps.ai.services.deployments import forget_why_disabled
from apps.common.admin.base import Admin, LongTableAdmin
from apps.common.admin.columns import EMPTY, Badge, Column, Duration, ListLink, RowLink, badge
from apps.common.admin.filters import MadeInFilter

_ROUTING = [("weight", "enabled"), ("attempt_timeout", "context_tokens")]


class DisabledReason(Column):
    """Why nothing goes there any more, where that was not an operator's wish."""

    def __call__(self, row: Any) -> str:
        return row.disabled_reason or EMPTY


class EnabledColumn(Column):
    """Whether calls go there; it says so if nobody here had disabled it."""

    def __call__(self, row: Any) -> str:
        if row.enabled:
            return badge("active", "enabled")
        return badge("dead", "disabled by a refusal") if row.disabled_reason else badge("", "disabled")


class DeploymentForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Deployment
        fields = [
            "name",
            "provider",
            "model_class",
            "model",
            "azure_deployment",
            "weight",
            "enabled",
            "attempt_timeout",
            "context_tokens",
        ]
        help_texts: ClassVar = {
            "attempt_timeout": "After so long a call counts as failed: hours:minutes:seconds.",
            "enabled": "Off: no new call goes there.",
        }


REASON = DisabledReason("why it was disabled")


@admin.register(Deployment)
class DeploymentAdmin(breakers.WithBreakers, Admin):
    deletable = True
    empty_hint = (
        "Without a deployment nothing is generated. Make the default ones: manage.py ensure_deployments"
    )
    form = DeploymentForm
    list_display = [
        "name",
        EnabledColumn("state", order_by="enabled"),
        breakers.BREAKER,
        "provider",
        "model",
        "model_class",
        "weight",
        Duration("time-out", "attempt_timeout"),
        "context_tokens",
    ]
    list_filter = ["enabled", "provider", "model_class"]
    search_fields = ["name", "model"]
    search_help_text = "Name or model"
    operations = breakers.OPERATIONS
    inlines = [breakers.BreakerChangeInline]
    lists = [ListLink("changes of its breaker", "ai.breakerchange", deployment__id__exact="pk")]
    readonly_fields = [REASON, breakers.BREAKER, breakers.FIGURES, *lists]
    add_fieldsets = [
        (None, {"fields": ["name", ("provider", "model_class"), ("model", "azure_deployment")]}),
        ("Routing", {"fields": _ROUTING}),
    ]
    fieldsets = [
        *add_fieldsets[:1],
        (
            "Routing",
            {
                "fields": [*_ROUTING, REASON],
                "description": "A provider that refuses our key or our credit has its deployment disabled. "
                "Mend that, then enable it again.",
            },
        ),
        ("Breaker", {"fields": [(breakers.BREAKER, breakers.FIGURES, *lists)]}),
    ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "enabled" in form.changed_data:
            forget_why_disabled(deployment=obj)


@admin.register(BreakerChange)
class BreakerChangeAdmin(LongTableAdmin):
    empty_hint = "Each change of a deployment's breaker leaves a row, whether by itself or by an operator."
    list_display = [
        "created_at",
        RowLink("deployment", "deployment"),
        Badge("before", "before"),
        Badge("after", "after"),
        "reason",
        breakers.BY,
    ]
    list_select_related = ["deployment"]
    list_filter = [MadeInFilter, "after", "deployment", ("by", admin.EmptyFieldListFilter)]
    search_ids = ["pk", "deployment_id", "by"]
    search_help_text = "8+ digits of its id, deployment or operator"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (RowLink("deployment", "deployment"), "created_at"),
                    (Badge("before", "before"), Badge("after", "after")),
                    ("reason", breakers.BY),
                ]
            },
        )
    ]
