from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import TabularInline
from unfold.decorators import action, display

from apps.common.admin.base import Admin
from apps.common.admin.columns import ListLink, RowLink, badge
from apps.tenants.models import Membership, Tenant
from apps.tenants.services.tenants import pause_tenant, resume_tenant


class MembershipInline(TabularInline):  # type: ignore[misc]  # Unfold is untyped
    model = Membership
    fields = ["user", "role"]
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Tenant)
class TenantAdmin(Admin):
    empty_hint = "Add the first agency here, or with: manage.py create_tenant NAME --email OWNER"
    list_display = ["name", "state", "time_zone", "currency", "created_at"]
    list_filter = [("paused_at", admin.EmptyFieldListFilter), "currency"]
    search_fields = ["name"]
    search_help_text = "Name, or the id's first digits"
    ordering = ["name"]
    inlines = [MembershipInline]
    actions = ["pause", "resume"]
    lists = [
        ListLink("accounts", "messaging.account", "tenant_id"),
        ListLink("campaigns", "campaigns.campaign", "tenant_id"),
        ListLink("generations", "ai.generation", "tenant_id"),
        ListLink("ledger entries", "costs.ledgerentry", "tenant_id"),
        ListLink("budgets", "costs.budget", "tenant_id"),
        ListLink("alerts", "notifications.alert", "tenant_id"),
        ListLink("API keys", "tenants.apikey", "tenant__id__exact"),
    ]
    readonly_fields = ["id", "state", "paused_at", "created_at", *lists]
    add_fieldsets = [(None, {"fields": ["name", ("time_zone", "currency")]})]
    fieldsets = [
        (None, {"fields": ["id", "name", ("time_zone", "currency"), ("state", "paused_at", "created_at")]}),
        ("What belongs to it", {"fields": lists, "classes": ["tab"]}),
    ]

    @display(description="state", ordering="paused_at")
    def state(self, tenant: Tenant) -> str:
        return badge("paused", "paused") if tenant.paused_at else badge("active", "active")

    @action(description="Pause: nothing is sent for them", permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        self.for_each(request, rows, _pause, done="Paused")

    @action(description="Resume sending", permissions=["change"])
    def resume(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        self.for_each(request, rows, lambda tenant: resume_tenant(tenant=tenant), done="Resumed")


def _pause(tenant: Tenant) -> None:
    pause_tenant(tenant=tenant, now=timezone.now())


@admin.register(Membership)
class MembershipAdmin(Admin):
    deletable = True
    empty_hint = "A membership lets a person act for a tenant, in a role."
    list_display = ["user", RowLink("tenant", "tenant"), "role", "created_at"]
    list_filter = ["role", ("tenant", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["user", "tenant"]
    search_fields = ["user__email", "tenant__name"]
    search_help_text = "E-mail or tenant"
    autocomplete_fields = ["user", "tenant"]
    ordering = ["-pk"]
