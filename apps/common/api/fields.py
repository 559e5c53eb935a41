"""Serializer fields that several apps share."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.money import Money, plain
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
        return {"amount": plain(value.amount), "currency": value.currency}


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
