from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.contrib import admin
from django.urls import path
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Badge, RowLink, ShortId, preformatted
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.common.errors import ConflictError
from apps.messaging.admin.replay_page import replay_page
from apps.messaging.models import Message, MessageRecord, MessageState
from apps.messaging.services.messages import cancel, mark_sent, replay, send_again


@dataclass(frozen=True, slots=True)
class _Done:
    """Of so many messages picked, so many were as the operation needs them."""

    picked: int
    number: int


def _all_at_once(service: Callable[..., int], refusal: str) -> Callable[[list[Message], Order], _Done]:
    """The services lock accounts before messages, so they get all ids together."""

    def act(messages: list[Message], order: Order) -> _Done:
        number = service(message_ids=[message.pk for message in messages], now=order.now)
        if not number:
            raise ConflictError(refusal)
        return _Done(len(messages), number)

    return act


def _number(results: Sequence[_Done]) -> str:
    """How many that was of those picked, where it wasn't all of them."""
    (done,) = results
    return f"That was {done.number:,} of {done.picked:,}." if done.number < done.picked else ""


@admin.register(Message)
class MessageAdmin(LongTableAdmin):
    list_before_template = "admin/messages_list.html"
    empty_hint = (
        "A campaign that is approved queues its messages; POST /api/v2/onlyfans/messages sends one. Once a "
        "campaign is over, its messages are under “All messages, archived too”."
    )
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "reason",
        RowLink("account", "account"),
        RowLink("fan", "fan"),
        RowLink("outbox", "outbox"),
        TENANT,
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
            _all_at_once(replay, "None of them can be replayed: only dead ones, of no cancelled campaign."),
            "Replayed",
            remark=_number,
            icon="replay",
            when=lambda message: message.state == MessageState.DEAD,
            together=True,
        ),
        Operation(
            "cancel",
            "Cancel",
            "Takes a queued message back.",
            _all_at_once(cancel, "None of them is queued; what is on its way can't be taken back."),
            "Cancelled",
            icon="cancel",
            danger=True,
            when=lambda message: message.state == MessageState.QUEUED,
            together=True,
            remark=_number,
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


@admin.register(MessageRecord)
class MessageRecordAdmin(LongTableAdmin):
    empty_hint = (
        "Every message there is; those that ended long ago lie in the archive and are found here alone."
    )
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "is_archived",
        "reason",
        RowLink("account", "account"),
        RowLink("fan", "fan"),
        RowLink("outbox", "outbox"),
        TENANT,
        "attempt",
        "sent_at",
    ]
    list_filter = [MadeInFilter, "state", "priority"]
    list_select_related = ["account", "fan", "outbox"]
    search_ids = ["pk", "account_id", "outbox_id", "fan_id"]
    search_help_text = "Its id, account's, outbox's or fan's (8+ digits)"
    list_before_template = "admin/messages_list.html"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("id", Badge("state", "state"), "reason", "is_archived"),
                    (TENANT, "account", "fan", "outbox"),
                ]
            },
        ),
        ("Words", {"fields": ["words", "template", ("price", "media")]}),
        ("Failure", {"fields": ["error"]}),
        (
            "Sending",
            {
                "fields": [
                    ("priority", "not_before", "attempt", "failures"),
                    ("sent_at", "finished_at", "platform_id"),
                    "slots",
                ]
            },
        ),
    ]

    def get_urls(self) -> list[Any]:
        replay_all = self.admin_site.admin_view(partial(replay_page, self))
        return [path("replay/", replay_all, name="messaging_replay"), *super().get_urls()]

    @display(description="text")
    def words(self, message: MessageRecord) -> str:
        return preformatted(message.text or "")
