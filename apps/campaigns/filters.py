import django_filters

from apps.campaigns.models import Campaign, CampaignStatus, CampaignType


class CampaignFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=CampaignStatus.choices)
    type = django_filters.MultipleChoiceFilter(choices=CampaignType.choices)
    account = django_filters.UUIDFilter("accounts", help_text="Campaigns of this account.")
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Campaign
        fields: list[str] = []
