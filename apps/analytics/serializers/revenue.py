from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.analytics.models import RevenueEntry, RevenueKind
from apps.analytics.services.revenue import AT_ONCE, Told
from apps.common.api.fields import AmountField, MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import LEDGER_CURRENCY, Money

# What is told of times before is a mistake.
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# The teller's clock may be ahead of ours by so much; beyond it nothing has been earned yet.
AHEAD = timedelta(minutes=5)


class RevenueRequest(StrictSerializer):
    """Money that an account has earned. Fields from `campaign` on have defaults.

    The context brings `now`.
    """

    external_id = serializers.CharField(max_length=128, help_text="Yours; the same is entered once.")
    account = serializers.UUIDField()
    occurred_at = serializers.DateTimeField(help_text="Not in the future.")
    amount = AmountField(max_digits=14, decimal_places=4, help_text="Above zero; of a refund, below zero.")
    campaign = serializers.UUIDField(required=False, allow_null=True)
    message = serializers.UUIDField(
        required=False, allow_null=True, help_text="Its campaign is taken along, if it has one."
    )
    kind = serializers.ChoiceField(RevenueKind.choices, default=RevenueKind.PURCHASE)
    currency = serializers.ChoiceField([LEDGER_CURRENCY], default=LEDGER_CURRENCY)

    def validate_occurred_at(self, value: datetime) -> datetime:
        if value < _EARLIEST:
            raise serializers.ValidationError(f"Give a time from {_EARLIEST.year} on.")
        now: datetime = self.context["now"]
        if value > now + AHEAD:
            said = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            text = f"It lies in the future: it is {said} now. Tell revenue once it has been earned."
            raise serializers.ValidationError(text)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        amount: Decimal = attrs["amount"]
        if attrs["kind"] == RevenueKind.REFUND and amount >= 0:
            raise serializers.ValidationError({"amount": "A refund's amount is below zero."})
        if attrs["kind"] != RevenueKind.REFUND and amount <= 0:
            text = "The amount has to be above zero; what is given back is of the kind refund."
            raise serializers.ValidationError({"amount": text})
        return attrs


def told(given: dict[str, Any]) -> Told:
    """What a service takes, of what was validated."""
    return Told(
        external_id=given["external_id"],
        account_id=given["account"],
        occurred_at=given["occurred_at"],
        amount=given["amount"],
        kind=str(given["kind"]),
        campaign_id=given.get("campaign"),
        message_id=given.get("message"),
    )


class RevenueBatch(StrictSerializer):
    entries = serializers.ListField(
        child=RevenueRequest(), min_length=1, max_length=AT_ONCE, help_text=f"At most {AT_ONCE:,}."
    )


class TakenSerializer(serializers.Serializer[Any]):
    created = serializers.IntegerField(help_text="Entries that are new.")
    known = serializers.IntegerField(help_text="Those that were told before, the same.")


class RevenueSerializer(serializers.Serializer[RevenueEntry]):
    id = serializers.UUIDField()
    external_id = serializers.CharField()
    account = serializers.UUIDField(source="account_id")
    campaign = serializers.UUIDField(source="campaign_id", allow_null=True)
    message = serializers.UUIDField(source="message_id", allow_null=True)
    occurred_at = serializers.DateTimeField()
    kind = serializers.ChoiceField(RevenueKind.choices)
    amount = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(MoneyField())
    def get_amount(self, entry: RevenueEntry) -> dict[str, str]:
        return MoneyField().to_representation(Money(entry.amount, entry.currency))
