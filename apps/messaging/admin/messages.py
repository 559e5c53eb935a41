from collections.abc import Callable

from django.contrib import admin
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Badge, RowLink, ShortId, preformatted
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.common.errors import ConflictError
from apps.messaging.models import Message, MessageState
from apps.messaging.services.messages import mark_sent, replay, send_again


def _all_at_once(service: Callable[..., int], refusal: str) -> Callable[[list[Message], Order], None]:
    """The services lock accounts before messages, so they get all ids together."""

    def act(messages: list[Message], order: Order) -> None:
        if not service(message_ids=[message.pk for message in messages], now=order.now):
            raise ConflictError(refusal)

    return act


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
    list_filter = [MadeInFilter, "state", "priority"]
    list_select_related = ["account", "fan", "outbox"]
    search_ids = ["pk", "account_id", "outbox_id", "fan_id"]
    search_help_text = "Its id, account's, outbox's or fan's (8+ digits)"
    operations = [
        Operation(
            "replay",
            "Replay",
            "Queues a dead message again: the same words, under the same key.",
            _all_at_once(replay, "None of them is dead; only dead messages are replayed."),
            "Replayed",
            icon="replay",
            when=lambda message: message.state == MessageState.DEAD,
            together=True,
        ),
        Operation(
            "mark_sent",
            "Mark sent",
            "For an unknown one that did arrive, as you have seen at the platform.",
            _all_at_once(mark_sent, "None of them is unknown."),
            "Marked as sent",
            icon="done",
            when=lambda message: message.state == MessageState.UNKNOWN,
            together=True,
        ),
        Operation(
            "send_again",
            "Send again",
            "For an unknown one that did not arrive, as you have seen at the platform.",
            _all_at_once(send_again, "None of them is unknown."),
            "Queued again",
            icon="forward",
            danger=True,
            when=lambda message: message.state == MessageState.UNKNOWN,
            together=True,
        ),
    ]
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
