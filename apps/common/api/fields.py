"""Serializer fields that several apps share."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.money import LEDGER_CURRENCY, Money, as_json
from apps.common.priority import Priority


@extend_schema_field(
    {
        "type": "object",
        "properties": {
            "amount": {"type": "string", "format": "decimal", "examples": ["0.0123"]},
            "currency": {"type": "string", "examples": ["USD"]},
        },
        "required": ["amount", "currency"],
    }
)
class MoneyField(serializers.Field[Money, Any, dict[str, str], Any]):
    """{"amount": "0.0123", "currency": "USD"}, without trailing zeros beyond the cent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, **options)

    def to_representation(self, value: Money) -> dict[str, str]:
        return as_json(value)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "decimal", "examples": ["12.00"]},
            {
                "type": "object",
                "properties": {
                    "amount": {"type": "string", "format": "decimal", "examples": ["12.00"]},
                    "currency": {"type": "string", "enum": [LEDGER_CURRENCY]},
                },
                "required": ["amount", "currency"],
                "additionalProperties": False,
            },
        ]
    }
)
class AmountField(serializers.DecimalField):
    """An amount in the ledger's currency: "12.00", or money as answers have it, with its currency."""

    default_error_messages = {
        "money": "Give an amount such as “12.00”, or money with just amount and currency.",
        "currency": f"The currency has to be {LEDGER_CURRENCY}.",
    }

    def to_internal_value(self, data: Any) -> Decimal:
        if not isinstance(data, Mapping):
            return super().to_internal_value(data)
        if set(data) != {"amount", "currency"}:
            self.fail("money")
        if data["currency"] != LEDGER_CURRENCY:
            self.fail("currency")
        return super().to_internal_value(data["amount"])


@extend_schema_field({"type": "string", "enum": [choice.label for choice in Priority], "default": "medium"})
class PriorityField(serializers.Field[Priority, str, str, Any]):
    """high, medium or low; kept as a number that sorts."""

    default_error_messages = {"unknown": "“{value}” is no priority: use high, medium or low."}

    def to_internal_value(self, data: str) -> Priority:
        try:
            return Priority.from_label(data)
        except (KeyError, AttributeError):
            self.fail("unknown", value=data)

    def to_representation(self, value: int) -> str:
        return str(Priority(value).label)
