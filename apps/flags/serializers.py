from typing import Any

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.flags.rollout import is_on


class FlagSource(models.TextChoices):
    """What decides whether a flag is on: the tenant's own setting, or its place in the roll-out."""

    OVERRIDE = "override"
    ROLLOUT = "rollout"


class FlagSerializer(serializers.Serializer[Any]):
    """A flag as it is for the caller's tenant."""

    name = serializers.CharField()
    description = serializers.CharField()
    enabled = serializers.SerializerMethodField()
    source = serializers.SerializerMethodField()  # type: ignore[assignment]  # our field, not the base's

    def get_enabled(self, flag: Any) -> bool:
        tenant_id = self.context["view"].tenant.pk
        return is_on(flag.name, tenant_id, percent=flag.rollout_percent, own=flag.own)

    @extend_schema_field(serializers.ChoiceField(FlagSource.choices))
    def get_source(self, flag: Any) -> str:
        return FlagSource.ROLLOUT if flag.own is None else FlagSource.OVERRIDE


class FlagRequest(serializers.Serializer[Any]):
    """The tenant's own setting of a flag."""

    name = serializers.SlugField(max_length=64)
    enabled = serializers.BooleanField(
        allow_null=True, help_text="Null gives the setting up: the roll-out decides again."
    )
