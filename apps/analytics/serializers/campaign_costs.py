from typing import Any

from rest_framework import serializers

from apps.analytics.serializers.economics import EconomicsSerializer
from apps.costs.serializers.reports import CostsSerializer


class ModelCostsSerializer(CostsSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {
            "provider": instance.provider,
            "model": instance.model,
            **CostsSerializer(instance.costs).data,
        }


class CampaignCostsSerializer(serializers.Serializer[Any]):
    """Since the campaign's beginning."""

    id = serializers.UUIDField(source="campaign.id")
    name = serializers.CharField(source="campaign.name")
    status = serializers.CharField(source="campaign.status")
    by_model = ModelCostsSerializer(many=True, help_text="The dearest first.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), **EconomicsSerializer().get_fields()}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        campaign = instance["campaign"]
        return {
            "id": str(campaign.pk),
            "name": campaign.name,
            "status": campaign.status,
            **EconomicsSerializer(instance["figures"]).data,
            "by_model": ModelCostsSerializer(instance["by_model"], many=True).data,
        }
