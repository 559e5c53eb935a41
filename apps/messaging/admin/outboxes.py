from django.contrib import admin
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import EMPTY, TENANT, IdLink, ListLink, RowLink, ShortId, badge, preformatted
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.messaging.admin.remarks import in_flight
from apps.messaging.hints import hint_resumed
from apps.messaging.models import MessageTemplate, Outbox
from apps.messaging.services import outboxes

CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
COUNTS = ("queued", "sending", "sent", "unknown", "dead", "cancelled")


def _resume(outbox: Outbox, order: Order) -> None:
    outboxes.resume(outbox=outbox, now=order.now)
    hint_resumed()


@admin.register(Outbox)
class OutboxAdmin(LongTableAdmin):
    empty_hint = "Every campaign has an outbox, which holds its messages."
    list_display = [ShortId(), CAMPAIGN, "state", TENANT, "priority", "messages", "created_at"]
    list_filter = [
        MadeInFilter,
        ("paused_at", admin.EmptyFieldListFilter),
        ("cancelled_at", admin.EmptyFieldListFilter),
        ("closed_at", admin.EmptyFieldListFilter),
        "priority",
    ]
    search_ids = ["pk", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of its id, or of a campaign or tenant"
    operations = [
        Operation(
            "pause",
            "Pause",
            "Nothing more of it is sent, but what is on its way already.",
            lambda outbox, order: outboxes.pause(outbox=outbox, now=order.now),
            "Paused",
            icon="pause",
            remark=in_flight,
            when=lambda outbox: not (outbox.paused_at or outbox.cancelled_at or outbox.closed_at),
        ),
        Operation(
            "resume",
            "Resume",
            "Its messages are sent again.",
            _resume,
            "Resumed",
            when=lambda outbox: bool(outbox.paused_at and not outbox.cancelled_at),
        ),
        Operation(
            "cancel",
            "Cancel",
            "Nothing more of it is ever sent, but what is on its way already. It can't be undone.",
            lambda outbox, order: outboxes.cancel(outbox=outbox, now=order.now),
            "Cancelled",
            icon="cancel",
            danger=True,
            remark=in_flight,
            when=lambda outbox: not (outbox.cancelled_at or outbox.closed_at),
        ),
    ]
    lists = [
        ListLink("messages", "messaging.message", outbox__id__exact="pk"),
        ListLink("archived ones too", "messaging.messagerecord", outbox__id__exact="pk"),
        ListLink("dead messages", "messaging.message", outbox__id__exact="pk", also={"state__exact": "dead"}),
        ListLink("templates", "messaging.messagetemplate", outbox__id__exact="pk"),
    ]
    fieldsets = [
        (None, {"fields": [("id", "state"), (TENANT, CAMPAIGN, "priority")]}),
        ("Messages", {"fields": [COUNTS, tuple(lists)]}),
        ("Times", {"fields": [("created_at", "paused_at", "cancelled_at", "closed_at", "archived_at")]}),
    ]

    @display(description="state")
    def state(self, outbox: Outbox) -> str:
        if outbox.cancelled_at:
            return badge("cancelled", "cancelled")
        if outbox.closed_at:
            return badge("finished", "closed")
        return badge("paused", "paused") if outbox.paused_at else badge("active", "active")

    @display(description="messages")
    def messages(self, outbox: Outbox) -> str:
        """Those of its counts that aren't zero: a column for each would be wider than a screen."""
        counts = {name: getattr(outbox, name) for name in COUNTS}
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or EMPTY


@admin.register(MessageTemplate)
class MessageTemplateAdmin(LongTableAdmin):
    empty_hint = "A campaign that writes one text per account leaves it here."
    list_display = [
        "__str__",
        RowLink("account", "account"),
        RowLink("outbox", "outbox"),
        TENANT,
        "created_at",
    ]
    list_select_related = ["account", "outbox"]
    search_ids = ["pk", "outbox_id", "account_id"]
    search_help_text = "8+ digits of its id, or of an outbox or account"
    fieldsets = [(None, {"fields": [(TENANT, "account", "outbox"), "text", "created_at"]})]

    @display(description="body")
    def text(self, template: MessageTemplate) -> str:
        return preformatted(template.body)
