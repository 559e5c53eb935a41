from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import Money
from apps.messaging.models import Fan
from apps.tenants.models import validate_time_zone

MAX_ATTRIBUTES = 100
# What fans spend is counted in the platforms' currency, which is the same on all of them.
SPEND_CURRENCY = "USD"


class FanRequest(StrictSerializer):
    """A fan of an account. Fields from `name` on have defaults."""

    external_id = serializers.CharField(max_length=128, help_text="The platform's own id.")
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    attributes = serializers.DictField(default=dict, help_text="Anything that segments or texts may use.")
    spend = serializers.DecimalField(
        max_digits=14, decimal_places=4, min_value=Decimal(0), default=Decimal(0)
    )
    last_purchase_at = serializers.DateTimeField(default=None, allow_null=True)
    time_zone = serializers.CharField(
        max_length=64,
        default="",
        allow_blank=True,
        validators=[validate_time_zone],
        help_text="An IANA name; empty: unknown, taken to be the account's.",
    )
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
    time_zone = serializers.CharField(help_text="Empty: unknown, taken to be the account's.")
    consent = serializers.BooleanField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(MoneyField())
    def get_spend(self, fan: Fan) -> dict[str, str]:
        return MoneyField().to_representation(Money(fan.spend, SPEND_CURRENCY))
