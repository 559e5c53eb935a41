"""The dispatcher's figures as JSON."""

from typing import Any

from rest_framework import serializers

from apps.messaging.models import BreakerState, Mode, Platform


class SlotsSerializer(serializers.Serializer[Any]):
    """A limit and how full it is now.

    A slot is taken until its window has gone by since the message arrived, at the latest.
    """

    count = serializers.IntegerField(help_text="At most so many messages…")
    seconds = serializers.IntegerField(help_text="…in any window of so many seconds.")
    min_gap_ms = serializers.IntegerField(help_text="At least so many milliseconds between two; 0: none.")
    used = serializers.IntegerField(
        allow_null=True, help_text="Null where other tenants' messages are counted too."
    )
    free = serializers.IntegerField(allow_null=True, help_text="Null likewise.")
    next_slot_at = serializers.DateTimeField(help_text="When the next one may be taken; now, if one is free.")


class UserSlotsSerializer(SlotsSerializer):
    user = serializers.UUIDField()


class RecipientSlotsSerializer(SlotsSerializer):
    fan = serializers.UUIDField()


class LayersSerializer(serializers.Serializer[Any]):
    """The layers above the accounts; null: it has no limit."""

    everything = SlotsSerializer(allow_null=True, help_text="Of the whole installation.")
    tenant = SlotsSerializer(allow_null=True)
    users = UserSlotsSerializer(many=True, help_text="The tenant's people of whom a limit is in force.")
    recipient = RecipientSlotsSerializer(allow_null=True, help_text="The fan asked for with `fan`.")


class BacklogSerializer(serializers.Serializer[Any]):
    queued = serializers.IntegerField(help_text="That may go, now or later.")
    held = serializers.IntegerField(help_text="Queued in campaigns that are paused.")
    sending = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="Of which the platform hasn't said if they arrived.")


class PlatformStateSerializer(serializers.Serializer[Any]):
    platform = serializers.ChoiceField(Platform.choices)
    connected = serializers.BooleanField(help_text="False: it has no address here, so its messages wait.")
    paused = serializers.BooleanField()
    pause_reason = serializers.CharField()
    breaker = serializers.ChoiceField(BreakerState.choices)
    open_until = serializers.DateTimeField(
        allow_null=True, help_text="When a single message tries if the platform works again."
    )


class SummarySerializer(serializers.Serializer[Any]):
    """The dispatcher as a whole."""

    mode = serializers.ChoiceField(Mode.choices, help_text="Who decides about limits; `postgres` is slower.")
    epoch = serializers.IntegerField(help_text="Grows whenever the limiter's logs are begun anew.")
    workers = serializers.IntegerField(help_text="Dispatch workers that are alive.")
    held = serializers.CharField(
        allow_null=True, help_text="Why nothing is sent for anybody; null: messages are."
    )
    tenant_paused = serializers.BooleanField()
    platforms = PlatformStateSerializer(many=True)


class AccountStatsSerializer(serializers.Serializer[Any]):
    account = serializers.UUIDField()
    name = serializers.CharField()
    platform = serializers.ChoiceField(Platform.choices)
    paused = serializers.BooleanField()
    slots = SlotsSerializer(help_text="The account's own limit.")
    next_slot_at = serializers.DateTimeField(help_text="When it and all layers above have a slot.")
    next_send_at = serializers.DateTimeField(
        allow_null=True,
        help_text="When its next message should go, not before; null: nothing is queued, or it stands still.",
    )
    waits_for = serializers.CharField(
        allow_null=True,
        help_text="What the next message waits for: `account_paused`, `tenant_paused`, `platform_paused`, "
        "`platform_not_connected`, `breaker_open`, `limit`, `not_before`, `quiet_hours`, `blocked` (the "
        "platform asked for patience).",
    )
    backlog = BacklogSerializer()
    eta = serializers.DateTimeField(
        allow_null=True,
        help_text="When its last queued message should have gone, unless more is enqueued: with quiet hours, "
        "all campaigns, and the limits of the layers above shared. Null like `next_send_at`.",
    )


class StatsSerializer(serializers.Serializer[Any]):
    summary = SummarySerializer()
    layers = LayersSerializer()
    backlog = BacklogSerializer(help_text="Of all accounts.")
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = AccountStatsSerializer(many=True)
