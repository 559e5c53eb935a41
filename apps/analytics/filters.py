import django_filters

from apps.analytics.models import RevenueEntry, RevenueKind


class RevenueFilter(django_filters.FilterSet):
    account = django_filters.UUIDFilter(field_name="account_id")
    campaign = django_filters.UUIDFilter(field_name="campaign_id")
    kind = django_filters.ChoiceFilter(choices=RevenueKind.choices)
    external_id = django_filters.CharFilter(max_length=128)

    class Meta:
        model = RevenueEntry
        fields: list[str] = []
