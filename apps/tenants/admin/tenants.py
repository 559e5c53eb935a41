from django.contrib import admin
from unfold.admin import TabularInline
from unfold.decorators import display

from apps.common.admin.base import Admin
from apps.common.admin.columns import ListLink, RowLink, badge
from apps.common.admin.operations import Operation
from apps.tenants.models import Membership, Tenant
from apps.tenants.services.tenants import pause_tenant, resume_tenant


class MembershipInline(TabularInline):  # type: ignore[misc]  # Unfold is untyped
    model = Membership
    fields = ["user", "role"]
    autocomplete_fields = ["user"]
    extra = 0
    hide_title = True


@admin.register(Tenant)
class TenantAdmin(Admin):
    empty_hint = "Add the first agency here, or with: manage.py create_tenant NAME --email OWNER"
    list_display = ["name", "state", "time_zone", "currency", "created_at"]
    list_filter = [("paused_at", admin.EmptyFieldListFilter), "currency"]
    search_fields = ["name"]
    search_help_text = "Name, or 8+ digits of its id"
    ordering = ["name"]
    inlines = [MembershipInline]
    operations = [
        Operation(
            "pause",
            "Pause",
            "Nothing is sent for this tenant until it is resumed.",
            lambda tenant, order: pause_tenant(tenant=tenant, now=order.now),
            "Paused",
            icon="pause",
            when=lambda tenant: not tenant.paused_at,
        ),
        Operation(
            "resume",
            "Resume",
            "What is queued for this tenant goes on.",
            lambda tenant, order: resume_tenant(tenant=tenant),
            "Resumed",
            when=lambda tenant: bool(tenant.paused_at),
        ),
    ]
    lists = [
        ListLink("accounts", "messaging.account", tenant_id="pk"),
        ListLink("campaigns", "campaigns.campaign", tenant_id="pk"),
        ListLink("generations", "ai.generation", tenant_id="pk"),
        ListLink("ledger entries", "costs.ledgerentry", tenant_id="pk"),
        ListLink("budgets", "costs.budget", tenant_id="pk"),
        ListLink("alerts", "notifications.alert", tenant_id="pk"),
        ListLink("API keys", "tenants.apikey", tenant__id__exact="pk"),
    ]
    readonly_fields = ["id", "state", "paused_at", "created_at", *lists]
    add_fieldsets = [(None, {"fields": ["name", ("time_zone", "currency")]})]
    fieldsets = [
        (None, {"fields": ["id", "name", ("time_zone", "currency"), ("state", "paused_at", "created_at")]}),
        ("What belongs to it", {"fields": [tuple(lists[:4]), tuple(lists[4:])]}),
    ]

    @display(description="state", ordering="paused_at")
    def state(self, tenant: Tenant) -> str:
        return badge("paused", "paused") if tenant.paused_at else badge("active", "active")


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
