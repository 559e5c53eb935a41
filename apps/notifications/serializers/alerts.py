from datetime import datetime, timedelta
from typing import Any

from rest_framework import serializers

from apps.common.api.serializers import StrictSerializer
from apps.notifications.models import Alert, Channel, Delivery, DeliveryState, Level
from apps.notifications.services.alerts import LONGEST_MUTE, mute_problem

MOST_HOURS = LONGEST_MUTE // timedelta(hours=1)


class DeliverySerializer(serializers.Serializer[Delivery]):
    channel = serializers.ChoiceField(Channel.choices)
    target = serializers.CharField(help_text="An e-mail address, or the target's name.")
    state = serializers.ChoiceField(DeliveryState.choices)
    attempts = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="Not before this is it sent, or tried again.")
    sent_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(help_text="Why it failed, was muted, or is tried again.")


class AlertSerializer(serializers.Serializer[Alert]):
    """Of an alert read with its mute."""

    id = serializers.UUIDField()
    rule = serializers.CharField()
    level = serializers.ChoiceField(Level.choices)
    subject = serializers.CharField(help_text="What it is about, such as a budget's id.")
    period = serializers.CharField()
    message = serializers.CharField()
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes fields out of the class
        help_text="The figures behind it, by rule."
    )
    created_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField()
    muted_until = serializers.DateTimeField(
        source="mute_ends_at",
        allow_null=True,
        help_text="Until then nothing is sent of its rule and subject; null if they aren't muted now.",
    )
    deliveries = DeliverySerializer(many=True)


class MuteRequest(StrictSerializer):
    """Exactly one of `until` and `hours`. The context has the time, in `now`."""

    until = serializers.DateTimeField(required=False)
    hours = serializers.IntegerField(min_value=1, max_value=MOST_HOURS, required=False)

    def validate_until(self, until: datetime) -> datetime:
        if problem := mute_problem(until, now=self.context["now"]):
            raise serializers.ValidationError(problem)
        return until

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError("Give exactly one of `until` and `hours`.")
        return attrs

    def end(self) -> datetime:
        given: datetime | None = self.validated_data.get("until")
        now: datetime = self.context["now"]
        return given or now + timedelta(hours=self.validated_data["hours"])
