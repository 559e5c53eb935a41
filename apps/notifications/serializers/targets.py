"""Targets as JSON. Where they lead to, and what signs, goes in and never comes out."""

from typing import Any

from rest_framework import serializers

from apps.common.api.serializers import StrictSerializer
from apps.common.text import validate_name
from apps.notifications.channels.http import url_problem
from apps.notifications.channels.webhook import read_signing_key
from apps.notifications.models import LONGEST_DIGEST, Channel, Level, NotificationTarget
from apps.notifications.rules import rules_problem

# What a target of each channel has, besides what all have: the first of them it can't do without.
_OWN = {
    Channel.EMAIL: ("address",),
    Channel.SLACK: ("url",),
    Channel.WEBHOOK: ("url", "signing_key"),
}
_EVERY = ("address", "url", "signing_key")


def own_problems(channel: str, given: dict[str, Any]) -> dict[str, str]:
    """What is given that a target of this channel doesn't have, by field; empty if nothing is."""
    others = [name for name in _EVERY if name in given and name not in _OWN[Channel(channel)]]
    return dict.fromkeys(others, f"A target of the channel {channel} has none.")


class TargetChanges(StrictSerializer):
    """What can be changed of a target; what isn't given stays as it is."""

    name = serializers.CharField(
        max_length=100,
        required=False,
        validators=[validate_name],
        help_text="How people call it, such as #alerts.",
    )
    address = serializers.EmailField(max_length=254, required=False, help_text="For the channel email.")
    url = serializers.CharField(
        max_length=2000,
        required=False,
        help_text="For Slack, an incoming webhook's; for webhooks, what is posted to. Never shown again.",
    )
    signing_key = serializers.CharField(
        max_length=200,
        required=False,
        allow_null=True,
        help_text="For webhooks: whsec_ and 24 to 64 bytes in base64. Null: one is made, and shown once.",
    )
    minimum_level = serializers.ChoiceField(
        Level.choices, required=False, help_text="The least that it is told of."
    )
    muted_rules = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="Rules that it isn't told of."
    )
    digest_minutes = serializers.IntegerField(
        min_value=0,
        max_value=LONGEST_DIGEST,
        required=False,
        help_text="Collect alerts for so long into one message; critical ones don't wait. 0: each at once.",
    )
    is_active = serializers.BooleanField(required=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "channel" in data and "channel" not in self.fields:
            text = "This is settled when a target is made: delete this one, and make another."
            raise serializers.ValidationError({"channel": [text]})
        return super().to_internal_value(data)

    def validate_url(self, url: str) -> str:
        if problem := url_problem(url):
            raise serializers.ValidationError(problem)
        return url

    def validate_signing_key(self, key: str | None) -> str:
        try:
            read_signing_key(key or "") if key is not None else None
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return key or ""

    def validate_muted_rules(self, names: list[str]) -> list[str]:
        if problem := rules_problem(names):
            raise serializers.ValidationError(problem)
        return sorted(set(names))


class TargetRequest(TargetChanges):
    """A target to make: e-mail needs an `address`, Slack and webhooks a `url`. The rest has defaults."""

    channel = serializers.ChoiceField(Channel.choices)
    name = serializers.CharField(
        max_length=100, validators=[validate_name], help_text="How people call it, such as #alerts."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed = _OWN[Channel(attrs["channel"])][0]
        if needed not in attrs:
            raise serializers.ValidationError({needed: f"The channel {attrs['channel']} needs one."})
        if problems := own_problems(attrs["channel"], attrs):
            raise serializers.ValidationError(problems)
        return attrs


class TargetSerializer(serializers.Serializer[NotificationTarget]):
    id = serializers.UUIDField()
    channel = serializers.ChoiceField(Channel.choices)
    name = serializers.CharField()
    address = serializers.CharField(help_text="Of e-mail; empty for Slack and webhooks.")
    minimum_level = serializers.ChoiceField(Level.choices)
    muted_rules = serializers.ListField(child=serializers.CharField())
    digest_minutes = serializers.IntegerField()
    is_active = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class SavedTargetSerializer(TargetSerializer):
    signing_key = serializers.SerializerMethodField(
        help_text="The one that was made for a webhook, shown this once; otherwise null."
    )

    def get_signing_key(self, target: NotificationTarget) -> str | None:
        made: str | None = self.context["made_key"]
        return made
