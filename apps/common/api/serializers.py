"""The base of what requests are parsed with."""

from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it doesn't know, so that a misspelt one is not silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields), key=str)):
            known = ", ".join(sorted(self.fields)) or "none"
            raise serializers.ValidationError({unknown[0]: [f"This field is unknown; there are: {known}."]})
        return super().to_internal_value(data)
