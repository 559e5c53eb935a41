from typing import Any

from rest_framework import serializers

from apps.analytics.serializers.economics import EconomicsSerializer
from apps.campaigns.models import CampaignStatus
from apps.costs.serializers.reports import SumsSerializer


class ModelCostsSerializer(SumsSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {
            "provider": instance.provider,
            "model": instance.model,
            **SumsSerializer(instance.costs).data,
        }


class CampaignCostsSerializer(EconomicsSerializer):
    """Since the campaign's beginning."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    status = serializers.ChoiceField(CampaignStatus.choices)
    by_model = ModelCostsSerializer(many=True, help_text="The dearest first.")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        campaign = instance["campaign"]
        return {
            "id": str(campaign.pk),
            "name": campaign.name,
            "status": campaign.status,
            **EconomicsSerializer(instance["figures"]).data,
            "by_model": ModelCostsSerializer(instance["by_model"], many=True).data,
        }
