from django.contrib import admin
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Badge, RowLink, ShortId, preformatted
from apps.messaging.models import Message


@admin.register(Message)
class MessageAdmin(LongTableAdmin):
    empty_hint = "A campaign that is approved queues its messages; POST /api/v2/onlyfans/messages sends one."
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "reason",
        RowLink("account", "account"),
        RowLink("fan", "fan"),
        RowLink("outbox", "outbox"),
        TENANT,
        "attempt",
        "not_before",
        "sent_at",
    ]
    list_filter = ["state", "priority"]
    list_select_related = ["account", "fan", "outbox"]
    search_ids = ["pk", "account_id", "outbox_id", "fan_id"]
    search_help_text = "First digits of its id, or of an account, outbox or fan"
    fieldsets = [
        (None, {"fields": [("id", Badge("state", "state"), "reason"), (TENANT, "account", "fan", "outbox")]}),
        ("Words", {"fields": ["words", "template", ("price", "media")]}),
        ("Failure", {"fields": ["error"]}),
        (
            "Sending",
            {
                "fields": [
                    ("priority", "not_before", "attempt", "failures"),
                    ("lease_expires_at", "send_by", "started_at", "look_up_at"),
                    ("sent_at", "finished_at", "platform_id"),
                    "slots",
                ]
            },
        ),
    ]

    @display(description="text")
    def words(self, message: Message) -> str:
        return preformatted(message.text or "")
