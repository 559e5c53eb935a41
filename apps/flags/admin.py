from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from apps.common.admin.base import Admin
from apps.common.admin.columns import TENANT, RowLink
from apps.flags.models import Flag, FlagOverride
from apps.tenants.admin.forms import TenantChoice


class FlagOverrideForm(TenantChoice):
    class Meta:
        model = FlagOverride
        fields = ["tenant", "flag", "enabled"]


class OverrideInline(TabularInline):  # type: ignore[misc]  # Unfold is untyped
    model = FlagOverride
    form = FlagOverrideForm
    fields = [TENANT, "enabled"]
    readonly_fields = [TENANT]
    extra = 0
    max_num = 0
    hide_title = True
    verbose_name_plural = "tenants with a setting of their own"

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlagOverride]:
        rows: QuerySet[FlagOverride] = super().get_queryset(request)
        return rows.annotate(**TENANT.annotation())


@admin.register(Flag)
class FlagAdmin(Admin):
    deletable = True
    empty_hint = "A flag switches a feature on for a share of the tenants."
    list_display = ["name", "rollout_percent", "description", "created_at"]
    search_fields = ["name", "description"]
    search_help_text = "Name or description"
    inlines = [OverrideInline]
    fields = ["name", "description", "rollout_percent"]


@admin.register(FlagOverride)
class FlagOverrideAdmin(Admin):
    deletable = True
    empty_hint = "An override turns a flag on or off for one tenant, whatever the roll-out says."
    form = FlagOverrideForm
    list_display = [RowLink("flag", "flag", order_by="flag__name"), TENANT, "enabled", "created_at"]
    list_display_links = ["created_at"]
    list_filter = ["enabled", "flag"]
    list_select_related = ["flag"]
    search_fields = ["flag__name"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Flag, or 8+ digits of a tenant's id"
    ordering = ["flag__name", "-pk"]
    add_fieldsets = [(None, {"fields": ["flag", "tenant", "enabled"]})]
    fieldsets = [(None, {"fields": ["flag", TENANT, "enabled"]})]
    readonly_fields = [TENANT]
