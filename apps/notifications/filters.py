import django_filters

from apps.common.api.filters import BooleanFilter
from apps.notifications.models import Alert, Channel, Level, NotificationTarget


class AlertFilter(django_filters.FilterSet):
    rule = django_filters.CharFilter(help_text="Such as budget_threshold.")
    level = django_filters.MultipleChoiceFilter(choices=Level.choices)
    acknowledged = BooleanFilter("acknowledged_at", "isnull", exclude=True)
    subject = django_filters.CharFilter(help_text="What it is about, such as a budget's id.")
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Alert
        fields: list[str] = []


class TargetFilter(django_filters.FilterSet):
    channel = django_filters.MultipleChoiceFilter(choices=Channel.choices)
    is_active = BooleanFilter()

    class Meta:
        model = NotificationTarget
        fields: list[str] = []
