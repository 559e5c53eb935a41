from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import PriorityField
from apps.common.api.serializers import StrictSerializer
from apps.common.priority import Priority
from apps.messaging.models import Message, MessageRecord, MessageState
from apps.messaging.services.replay import AT_ONCE

MAX_MEDIA = 50
MAX_TEXT = 10_000


class MessageRequest(StrictSerializer):
    """One message to one fan. Fields from `price` on have defaults: free, no media, now, medium."""

    account = serializers.UUIDField()
    fan = serializers.UUIDField()
    text = serializers.CharField(max_length=MAX_TEXT)
    price = serializers.DecimalField(
        max_digits=10,
        decimal_places=2,
        min_value=Decimal("0.01"),
        default=None,
        allow_null=True,
        help_text="What opening it costs the fan; null: nothing.",
    )
    media = serializers.ListField(
        child=serializers.CharField(max_length=200),
        default=list,
        max_length=MAX_MEDIA,
        help_text="The platform's ids of media.",
    )
    not_before = serializers.DateTimeField(default=None, allow_null=True)
    priority = PriorityField(default=Priority.MEDIUM)


class MessageSerializer(serializers.Serializer[Message | MessageRecord]):
    id = serializers.UUIDField()
    account = serializers.UUIDField(source="account_id")
    fan = serializers.UUIDField(source="fan_id")
    campaign = serializers.SerializerMethodField()
    text = serializers.CharField(allow_null=True, help_text="Null until a campaign's text is rendered.")
    price = serializers.DecimalField(max_digits=10, decimal_places=2, allow_null=True)
    media = serializers.ListField(child=serializers.CharField())
    not_before = serializers.DateTimeField()
    priority = PriorityField()
    state = serializers.ChoiceField(MessageState.choices)
    reason = serializers.CharField(help_text="A code for why it is dead, cancelled, unknown or late.")
    error = serializers.CharField(help_text="The same in words, as far as known.")
    attempts = serializers.IntegerField(source="attempt")
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was sent, died or was cancelled."
    )

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_campaign(self, message: Message | MessageRecord) -> str | None:
        campaign_id = message.outbox.campaign_id if message.outbox else None
        return str(campaign_id) if campaign_id else None


class ReplayFilter(StrictSerializer):
    """Which dead messages: those that everything given here is true of."""

    account = serializers.UUIDField(required=False)
    campaign = serializers.UUIDField(required=False)
    reason = serializers.CharField(max_length=64, required=False, help_text="The code of why they are dead.")
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    finished_after = serializers.DateTimeField(required=False, help_text="When they died; inclusive.")
    finished_before = serializers.DateTimeField(required=False, help_text="Exclusive.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Give something to choose by; for all of them send `all`.")
        return attrs


class ReplayRequest(StrictSerializer):
    """Exactly one of `ids`, `filter` and `all`."""

    ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=AT_ONCE, required=False
    )
    filter = ReplayFilter(required=False)
    all = serializers.BooleanField(required=False, help_text="True: every dead message.")
    state = serializers.ChoiceField(
        [MessageState.DEAD.value, MessageState.UNKNOWN.value],
        default=MessageState.DEAD.value,
        help_text="`unknown`, with `ids` alone: what may have arrived is sent again; look there first.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if sum(bool(attrs.get(name)) for name in ("ids", "filter", "all")) != 1:
            raise serializers.ValidationError("Give exactly one of `ids`, `filter` and `all: true`.")
        if attrs["state"] == MessageState.UNKNOWN and "ids" not in attrs:
            text = "Unknown messages are sent again by their ids alone: each has to be looked up first."
            raise serializers.ValidationError({"state": [text]})
        return attrs


class ReplayedSerializer(serializers.Serializer[Any]):
    """What became of it. While some remain, send `next` as the body of another call."""

    replayed = serializers.IntegerField(help_text="Messages that are queued again.")
    refused = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many weren't, by reason: `outbox_cancelled`; of ids also `not_found`, `other_state`.",
    )
    remaining = serializers.IntegerField(help_text="Messages still to replay, counted up to 100,000.")
    next = serializers.DictField(allow_null=True, help_text="The body to go on with; null: that was all.")
