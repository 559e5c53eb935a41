from typing import Any

from django.contrib import admin
from django.urls import path

from apps.ai.admin.matrix_page import matrix_page
from apps.ai.models import RoutingPreference
from apps.common.admin.base import Admin
from apps.common.admin.columns import TENANT
from apps.tenants.admin.forms import TenantChoice


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
