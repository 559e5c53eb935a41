from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import MoneyField, PriorityField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import Money
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Message, MessageState, Platform
from apps.messaging.services.connections import AccountFields
from apps.tenants.models import validate_time_zone

MAX_LIMIT_COUNT = 10_000
MAX_LIMIT_SECONDS = 31 * 24 * 3600
MAX_ATTRIBUTES = 100
MAX_MEDIA = 50
MAX_TEXT = 10_000
# What fans spend is counted in the platforms' currency, which is the same on all of them.
SPEND_CURRENCY = "USD"


class LimitSerializer(StrictSerializer):
    """At most `count` messages in any window of `seconds`."""

    count = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT_COUNT)
    seconds = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT_SECONDS)


class QuietHoursSerializer(StrictSerializer):
    """From `start` to `end` in the account's time zone, over midnight where `end` is the earlier."""

    start = serializers.TimeField()
    end = serializers.TimeField()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["start"] == attrs["end"]:
            raise serializers.ValidationError(
                "`start` and `end` have to differ; for no quiet hours send null."
            )
        return attrs


class AccountChanges(StrictSerializer):
    """What can be changed of an account; what isn't given stays as it is."""

    name = serializers.CharField(max_length=200, required=False)
    credential = serializers.CharField(
        max_length=4096, required=False, help_text="The platform's token. It is never shown again."
    )
    limit = LimitSerializer(required=False)
    time_zone = serializers.CharField(
        max_length=64, required=False, validators=[validate_time_zone], help_text="An IANA name."
    )
    quiet_hours = QuietHoursSerializer(required=False, allow_null=True)

    def columns(self) -> AccountFields:
        """What was given, as columns of the account."""
        identity = ("platform", "external_id")
        given = {name: value for name, value in self.validated_data.items() if name not in identity}
        if limit := given.pop("limit", None):
            given |= {"limit_count": limit["count"], "limit_seconds": limit["seconds"]}
        if "quiet_hours" in given:
            hours = given.pop("quiet_hours") or {"start": None, "end": None}
            given |= {"quiet_start": hours["start"], "quiet_end": hours["end"]}
        fields: AccountFields = given  # type: ignore[assignment]  # its keys are the fields above
        return fields


class AccountRequest(AccountChanges):
    """A creator's account to connect. Fields from `limit` on have defaults."""

    platform = serializers.ChoiceField(Platform.choices)
    external_id = serializers.CharField(max_length=128, help_text="The platform's own id.")
    name = serializers.CharField(max_length=200)
    credential = serializers.CharField(
        max_length=4096, help_text="The platform's token. It is never shown again."
    )


class AccountSerializer(serializers.Serializer[Account]):
    id = serializers.UUIDField()
    platform = serializers.ChoiceField(Platform.choices)
    external_id = serializers.CharField()
    name = serializers.CharField()
    limit = serializers.SerializerMethodField()
    time_zone = serializers.CharField()
    quiet_hours = serializers.SerializerMethodField()
    paused = serializers.SerializerMethodField()
    pause_reason = serializers.CharField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(LimitSerializer)
    def get_limit(self, account: Account) -> dict[str, int]:
        return {"count": account.limit_count, "seconds": account.limit_seconds}

    @extend_schema_field(QuietHoursSerializer(allow_null=True))
    def get_quiet_hours(self, account: Account) -> dict[str, Any] | None:
        if account.quiet_start is None:
            return None
        return dict(QuietHoursSerializer({"start": account.quiet_start, "end": account.quiet_end}).data)

    def get_paused(self, account: Account) -> bool:
        return account.paused_at is not None


class FanRequest(StrictSerializer):
    """A fan of an account. Fields from `name` on have defaults."""

    external_id = serializers.CharField(max_length=128, help_text="The platform's own id.")
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    attributes = serializers.DictField(default=dict, help_text="Anything that segments or texts may use.")
    spend = serializers.DecimalField(
        max_digits=14, decimal_places=4, min_value=Decimal(0), default=Decimal(0)
    )
    last_purchase_at = serializers.DateTimeField(default=None, allow_null=True)
    consent = serializers.BooleanField(default=True, help_text="Without it, nothing is sent.")

    def validate_attributes(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > MAX_ATTRIBUTES:
            raise serializers.ValidationError(f"At most {MAX_ATTRIBUTES} attributes.")
        if any(len(name) > MAX_ATTRIBUTES for name in value):
            raise serializers.ValidationError(f"A name has at most {MAX_ATTRIBUTES} characters.")
        return value


class FanSerializer(serializers.Serializer[Fan]):
    id = serializers.UUIDField()
    external_id = serializers.CharField()
    name = serializers.CharField()
    attributes = serializers.DictField()
    spend = serializers.SerializerMethodField()
    last_purchase_at = serializers.DateTimeField(allow_null=True)
    consent = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(MoneyField())
    def get_spend(self, fan: Fan) -> dict[str, str]:
        return MoneyField().to_representation(Money(fan.spend, SPEND_CURRENCY))


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


class MessageSerializer(serializers.Serializer[Message]):
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

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_campaign(self, message: Message) -> str | None:
        campaign_id = message.outbox.campaign_id if message.outbox else None
        return str(campaign_id) if campaign_id else None
