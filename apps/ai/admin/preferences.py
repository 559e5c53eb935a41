from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import path

from apps.ai.admin.matrix_page import matrix_page
from apps.ai.models import RoutingPreference, TaskKind, TaskPreference
from apps.common.admin.base import Admin
from apps.common.admin.columns import TENANT, Duration, RowLink
from apps.tenants.admin.forms import TenantChoice

_WHAT_FOR = (
    "Which models the tenant's questions go to first. What is preferred for one kind of task comes before "
    "it; while little is left of a budget, the cheapest goes first all the same."
)


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
    add_fieldsets = [(None, {"fields": ["tenant", "preference"], "description": _WHAT_FOR})]
    fieldsets = [(None, {"fields": [TENANT, "preference"], "description": _WHAT_FOR})]
    readonly_fields = [TENANT]

    def get_urls(self) -> list[Any]:
        matrix = self.admin_site.admin_view(matrix_page)
        return [path("matrix/", matrix, name="ai_matrix"), *super().get_urls()]


_TIMES = [Duration("fresh for", "fresh"), Duration("stale for", "stale")]
_LENGTH = "As in 1:30:00, or 7 00:00:00 for seven days; empty: as is usual for the kind of task."


class TaskPreferenceForm(TenantChoice):
    class Meta:
        model = TaskPreference
        fields = ["tenant", "task_kind", "deployment", "fresh", "stale"]
        labels: ClassVar = {"deployment": "First deployment", "fresh": "Fresh for", "stale": "Stale for"}
        help_texts: ClassVar = {
            "fresh": f"For how long an answer is given instead of a new one. {_LENGTH}",
            "stale": f"For how long optional work gets an old answer while nobody can answer. {_LENGTH}",
        }

    def clean_task_kind(self) -> str:
        kind: str = self.cleaned_data["task_kind"]
        if kind == TaskKind.REPLAY:
            raise forms.ValidationError("A replay has its deployment, and is never kept.")
        return kind


@admin.register(TaskPreference)
class TaskPreferenceAdmin(Admin):
    deletable = True
    empty_hint = (
        "Applying a recommendation sets a row, for one tenant and kind of task. One may be set by hand."
    )
    form = TaskPreferenceForm
    list_display = [TENANT, "task_kind", RowLink("first deployment", "deployment"), *_TIMES, "created_at"]
    list_display_links = ["task_kind"]
    list_select_related = ["deployment"]
    list_filter = ["task_kind", "deployment"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "8+ digits of a tenant's id"
    ordering = ["-pk"]
    add_fieldsets = [(None, {"fields": ["tenant", "task_kind", "deployment", ("fresh", "stale")]})]
    fieldsets = [(None, {"fields": [(TENANT, "task_kind"), "deployment", ("fresh", "stale")]})]

    def get_readonly_fields(self, request: HttpRequest, obj: TaskPreference | None = None) -> list[Any]:
        return [TENANT, "task_kind"] if obj else [TENANT]
