from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.campaigns import queries
from apps.campaigns.models import (
    Approval,
    Campaign,
    CampaignStatus,
    CampaignType,
    Personalisation,
    StepStatus,
)
from apps.campaigns.progress import Work, progress
from apps.campaigns.recipients import Preflight
from apps.campaigns.services.create import CampaignDraft
from apps.common.api.fields import MoneyField, PriorityField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import Money
from apps.common.text import validate_name

MAX_ACCOUNTS = 500


class CampaignRequest(StrictSerializer):
    """What a campaign is about. Fields from `segment` on have defaults."""

    name = serializers.CharField(max_length=200, validators=[validate_name])
    type = serializers.ChoiceField(CampaignType.choices)
    brief = serializers.CharField(max_length=10_000)
    tone = serializers.CharField(max_length=100, required=False, allow_blank=True)
    accounts = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MAX_ACCOUNTS, help_text="Ids of accounts."
    )
    segment = serializers.DictField(
        required=False,
        help_text="{include: {}, exclude: {}} over spend, last_purchase_at and attributes. Empty: every fan "
        "with consent.",
    )
    price = serializers.DecimalField(
        max_digits=10, decimal_places=2, min_value=Decimal("0.01"), required=False, allow_null=True
    )
    personalisation = serializers.ChoiceField(Personalisation.choices, required=False)
    approval = serializers.ChoiceField(Approval.choices, required=False)
    not_before = serializers.DateTimeField(required=False, allow_null=True)
    priority = PriorityField(required=False)
    user = serializers.UUIDField(
        allow_null=True,
        default=None,
        help_text="For whom it is launched: their limits count its messages, their budgets its costs. "
        "Whoever asks, unless it is said.",
    )

    def validate_accounts(self, value: list[UUID]) -> list[UUID]:
        return list(dict.fromkeys(value))

    def draft(self) -> CampaignDraft:
        return CampaignDraft(**{name: each for name, each in self.validated_data.items() if name != "user"})


class ReasonRequest(StrictSerializer):
    reason = serializers.CharField(max_length=2000)


class OptionalReasonRequest(StrictSerializer):
    reason = serializers.CharField(max_length=2000, required=False, allow_blank=True)


class PreflightSerializer(serializers.Serializer[Preflight]):
    recipients = serializers.IntegerField()
    excluded = serializers.DictField(child=serializers.IntegerField(), help_text="Fans left out, by reason.")
    ends_at = serializers.DateTimeField(help_text="Under each account's limit, were nothing else sent.")
    warnings = serializers.ListField(child=serializers.CharField())


class StepSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(StepStatus.choices)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(help_text="Empty, or why it failed.")


class CountsSerializer(serializers.Serializer[Any]):
    queued = serializers.IntegerField()
    sending = serializers.IntegerField()
    sent = serializers.IntegerField()
    dead = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    unknown = serializers.IntegerField()


class CampaignSerializer(serializers.Serializer[Any]):
    """A campaign's status. The context brings `work`, `costs` (both by id) and `now`."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    type = serializers.ChoiceField(CampaignType.choices)
    priority = PriorityField()
    user = serializers.UUIDField(
        source="user_id", allow_null=True, help_text="For whom it was launched; null: an API key, for nobody."
    )
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(CampaignStatus.choices)
    paused = serializers.SerializerMethodField()
    reason = serializers.CharField(help_text="Why it was rejected, cancelled or failed.")
    steps = StepSerializer(many=True)
    counts = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    eta = serializers.SerializerMethodField()
    cost = serializers.SerializerMethodField()

    def get_paused(self, campaign: Campaign) -> bool:
        return campaign.outbox.paused_at is not None

    @extend_schema_field(CountsSerializer)
    def get_counts(self, campaign: Campaign) -> dict[str, int]:
        return queries.message_counts(campaign)

    def get_progress(self, campaign: Campaign) -> float:
        work: Work = self.context["work"][campaign.pk]
        return round(progress(campaign.status, work), 4)

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_eta(self, campaign: Campaign) -> str | None:
        end: datetime | None = self.context["ends"].get(campaign.pk)
        return serializers.DateTimeField().to_representation(end) if end else None

    @extend_schema_field(MoneyField())
    def get_cost(self, campaign: Campaign) -> dict[str, str]:
        cost: Money = self.context["costs"][campaign.pk]
        return MoneyField().to_representation(cost)


class CampaignAccepted(serializers.Serializer[Campaign]):
    """The answer to a new campaign."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(CampaignStatus.choices)
    status_url = serializers.SerializerMethodField()
    preflight = serializers.SerializerMethodField()

    @extend_schema_field(serializers.URLField())
    def get_status_url(self, campaign: Campaign) -> str:
        return reverse("campaign-status", args=[campaign.pk], request=self.context["request"])

    @extend_schema_field(PreflightSerializer)
    def get_preflight(self, campaign: Campaign) -> Any:
        return PreflightSerializer(self.context["preflight"]).data


class PausedSerializer(CampaignSerializer):
    in_flight = serializers.SerializerMethodField(help_text="Messages on their way that can't be held back.")

    def get_in_flight(self, campaign: Campaign) -> int:
        count: int = self.context["in_flight"]
        return count


class SampleSerializer(serializers.Serializer[Any]):
    account = serializers.UUIDField()
    fan = serializers.UUIDField()
    fan_name = serializers.CharField()
    text = serializers.CharField()
    error = serializers.CharField(help_text="Why the text can't be rendered for this fan; empty if it can.")


class PreviewSerializer(serializers.Serializer[Any]):
    """What approving would send, to whom, until when, and what it has cost so far."""

    plan = serializers.JSONField(allow_null=True)
    samples = SampleSerializer(many=True)
    recipients = serializers.IntegerField()
    excluded = serializers.DictField(child=serializers.IntegerField())
    cost = MoneyField()
    ends_at = serializers.DateTimeField()
    warnings = serializers.ListField(child=serializers.CharField())
