from django.contrib import admin

from apps.common.admin.base import LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import TENANT, Badge, RowLink
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation
from apps.notifications.models import Alert, Delivery
from apps.notifications.services.alerts import acknowledge_alert


class DeliveryInline(ReadOnlyInline):
    model = Delivery
    fields = ["channel", "target", Badge("state", "state"), "attempts", "sent_at", "error"]
    readonly_fields = fields


@admin.register(Alert)
class AlertAdmin(LongTableAdmin):
    empty_hint = "Nothing has needed anybody's attention. Budgets and error rates raise alerts."
    list_display = [
        "rule",
        Badge("level", "level"),
        "message",
        TENANT,
        "period",
        "acknowledged_at",
        "created_at",
    ]
    list_filter = [MadeInFilter, "level", "rule", ("acknowledged_at", admin.EmptyFieldListFilter)]
    search_exact = ["rule", "subject"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Rule, subject, or 8+ digits of an id"
    operations = [
        Operation(
            "acknowledge",
            "Acknowledge",
            "Says that somebody looks after it.",
            lambda alert, order: acknowledge_alert(alert=alert, now=order.now),
            "Acknowledged",
            icon="done",
            when=lambda alert: not alert.acknowledged_at,
        )
    ]
    inlines = [DeliveryInline]
    fieldsets = [
        (None, {"fields": [TENANT, ("rule", Badge("level", "level")), "message", ("subject", "period")]}),
        ("Handling", {"fields": [("acknowledged_at", "muted_until", "created_at"), "data"]}),
    ]


@admin.register(Delivery)
class DeliveryAdmin(LongTableAdmin):
    empty_hint = "Each alert is delivered once to every e-mail, Slack channel and webhook set up for it."
    list_display = [
        "target",
        "channel",
        Badge("state", "state"),
        RowLink("alert", "alert"),
        TENANT,
        "attempts",
        "sent_at",
        "created_at",
    ]
    list_filter = [MadeInFilter, "state", "channel"]
    list_select_related = ["alert"]
    search_exact = ["target"]
    search_ids = ["pk", "alert_id"]
    search_help_text = "Target, or 8+ digits of an id"
    fieldsets = [
        (None, {"fields": [TENANT, "alert", ("channel", "target")]}),
        (
            "Way",
            {"fields": [(Badge("state", "state"), "attempts"), ("sent_at", "lease_expires_at"), "error"]},
        ),
    ]
