from datetime import timedelta
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format

from apps.common.admin.base import LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import EMPTY, TENANT, Badge, Column, Preformatted, breakable
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.notifications.admin.deliveries import MESSAGE
from apps.notifications.hints import hint_deliveries
from apps.notifications.models import Alert, AlertQuerySet, Delivery
from apps.notifications.services.alerts import acknowledge_alert, mute_alert, unmute_alert
from apps.notifications.services.deliveries import send_alert_again


class DeliveryInline(ReadOnlyInline):
    model = Delivery
    fields = ["channel", "target", Badge("state", "state"), "attempts", "due_at", "sent_at", "error", MESSAGE]
    readonly_fields = fields


class MutedFilter(admin.SimpleListFilter):
    title = "muted"
    parameter_name = "muted"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [("now", "now")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        return queryset.filter(muted_until__gt=timezone.now()) if self.value() == "now" else queryset


class RuleName(Column):
    """Which rule raised it."""

    def __call__(self, alert: Any) -> str:
        return breakable(alert.rule)


class Handled(Column):
    """What somebody has done about it, in a word; the times are on its page."""

    def __call__(self, alert: Any) -> str:
        said = ["acknowledged"] if alert.acknowledged_at else []
        if _is_muted(alert):
            said.append("muted")
        return ", ".join(said) or EMPTY


class MuteEnd(Column):
    """Until when its rule and subject are muted, by whichever of their alerts."""

    def __call__(self, alert: Any) -> str:
        if alert.mute_ends_at is None:
            return EMPTY
        return date_format(timezone.localtime(alert.mute_ends_at), "DATETIME_FORMAT")


RULE = RuleName("rule")
HANDLED = Handled("handled")


def _mute_a_day(alert: Alert, order: Order) -> None:
    mute_alert(alert=alert, until=order.now + timedelta(days=1), now=order.now)


def _mute_a_week(alert: Alert, order: Order) -> None:
    mute_alert(alert=alert, until=order.now + timedelta(weeks=1), now=order.now)


def _send_again(alert: Alert, order: Order) -> None:
    send_alert_again(alert=alert, now=order.now)
    hint_deliveries()


def _is_muted(alert: Any) -> bool:
    return alert.mute_ends_at is not None


@admin.register(Alert)
class AlertAdmin(LongTableAdmin):
    empty_hint = "Nothing has needed anybody's attention. Budgets and error rates raise alerts."
    list_display = [
        RULE,
        Badge("level", "level"),
        "message",
        TENANT,
        HANDLED,
        "created_at",
    ]
    list_filter = [
        MadeInFilter,
        "level",
        "rule",
        ("acknowledged_at", admin.EmptyFieldListFilter),
        MutedFilter,
    ]
    search_exact = ["rule", "subject"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Rule, subject, or 8+ digits of an id"
    operations = [
        Operation(
            "acknowledge",
            "Acknowledge",
            "Says that somebody looks after it.",
            lambda alert, order: acknowledge_alert(alert=alert, by=order.by, now=order.now),
            "Acknowledged",
            icon="done",
            when=lambda alert: not alert.acknowledged_at,
        ),
        Operation(
            "mute_a_day",
            "Mute for a day",
            "Nothing is sent of this rule and subject for 24 hours; what is raised stays in the list.",
            _mute_a_day,
            "Muted for a day",
            icon="notifications_paused",
            when=lambda alert: not _is_muted(alert),
        ),
        Operation(
            "mute_a_week",
            "Mute for a week",
            "Nothing is sent of this rule and subject for 7 days; what is raised stays in the list.",
            _mute_a_week,
            "Muted for a week",
            icon="notifications_off",
            when=lambda alert: not _is_muted(alert),
        ),
        Operation(
            "unmute",
            "Unmute",
            "What this rule and subject come to from now on is sent.",
            lambda alert, order: unmute_alert(alert=alert),
            "Unmuted",
            icon="notifications_active",
            when=_is_muted,
        ),
        Operation(
            "send_again",
            "Send again",
            "What failed or was muted is tried once more, and targets that have come since are told.",
            _send_again,
            "On its way",
            icon="replay",
        ),
    ]
    inlines = [DeliveryInline]
    fieldsets = [
        (None, {"fields": [TENANT, ("rule", Badge("level", "level")), "message", ("subject", "period")]}),
        (
            "Handling",
            {
                "fields": [
                    ("acknowledged_at", "acknowledged_by", MuteEnd("muted until"), "created_at"),
                    Preformatted("data", "data"),
                ]
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        rows = cast(AlertQuerySet, super().get_queryset(request))
        return rows.with_mute(now=timezone.now())
