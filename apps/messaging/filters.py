import django_filters

from apps.common.api.filters import BooleanFilter
from apps.messaging.models import Account, Fan, Message, MessageState, Platform


class AccountFilter(django_filters.FilterSet):
    platform = django_filters.MultipleChoiceFilter(choices=Platform.choices)
    external_id = django_filters.CharFilter(help_text="The platform's own id.")
    paused = BooleanFilter("paused_at", "isnull", exclude=True)
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Account
        fields: list[str] = []


class FanFilter(django_filters.FilterSet):
    external_id = django_filters.CharFilter(help_text="The platform's own id.")
    consent = BooleanFilter()
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Fan
        fields: list[str] = []


class MessageFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=MessageState.choices)
    account = django_filters.UUIDFilter("account_id")
    fan = django_filters.UUIDFilter("fan_id")
    campaign = django_filters.UUIDFilter("outbox__campaign_id")
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Message
        fields: list[str] = []
