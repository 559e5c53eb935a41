from django.contrib import admin
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, IdLink, ListLink, RowLink, ShortId, badge, preformatted
from apps.messaging.models import MessageTemplate, Outbox

CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
COUNTS = ("queued", "sending", "sent", "unknown", "dead", "cancelled")


@admin.register(Outbox)
class OutboxAdmin(LongTableAdmin):
    empty_hint = "Every campaign has an outbox, which holds its messages."
    list_display = [ShortId(), CAMPAIGN, "state", TENANT, "priority", *COUNTS, "created_at"]
    list_filter = [
        ("paused_at", admin.EmptyFieldListFilter),
        ("cancelled_at", admin.EmptyFieldListFilter),
        ("closed_at", admin.EmptyFieldListFilter),
        "priority",
    ]
    search_ids = ["pk", "campaign_id", "tenant_id"]
    search_help_text = "First digits of its id, or of a campaign or tenant"
    lists = [
        ListLink("messages", "messaging.message", "outbox__id__exact"),
        ListLink("dead messages", "messaging.message", "outbox__id__exact", also={"state__exact": "dead"}),
        ListLink("templates", "messaging.messagetemplate", "outbox__id__exact"),
    ]
    fieldsets = [
        (None, {"fields": [("id", "state"), (TENANT, CAMPAIGN, "priority")]}),
        ("Messages", {"fields": [COUNTS, tuple(lists)]}),
        ("Times", {"fields": [("created_at", "paused_at", "cancelled_at", "closed_at")]}),
    ]

    @display(description="state")
    def state(self, outbox: Outbox) -> str:
        if outbox.cancelled_at:
            return badge("cancelled", "cancelled")
        if outbox.closed_at:
            return badge("finished", "closed")
        return badge("paused", "paused") if outbox.paused_at else badge("active", "active")


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
    search_help_text = "First digits of its id, or of an outbox or account"
    fieldsets = [(None, {"fields": [(TENANT, "account", "outbox"), "text", "created_at"]})]

    @display(description="body")
    def text(self, template: MessageTemplate) -> str:
        return preformatted(template.body)
