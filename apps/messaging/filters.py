from uuid import UUID

import django_filters
from django.db.models import QuerySet, Subquery

from apps.common.api.filters import BooleanFilter
from apps.messaging.models import Account, Fan, MessageRecord, MessageState, Outbox, Platform


class AccountFilter(django_filters.FilterSet):
    platform = django_filters.MultipleChoiceFilter(choices=Platform.choices)
    external_id = django_filters.CharFilter(help_text="The platform's own id.")
    paused = BooleanFilter("paused_at", "isnull", exclude=True)
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Account
        fields: list[str] = []


class StatsFilter(AccountFilter):
    account = django_filters.UUIDFilter("pk", help_text="This account alone.")
    fan = django_filters.UUIDFilter(
        method="leave", help_text="With `account`: how full this fan's own limit is as well."
    )

    def leave(self, queryset: QuerySet[Account], name: str, value: UUID) -> QuerySet[Account]:
        """The fan is no matter of which accounts are listed."""
        return queryset


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
    campaign = django_filters.UUIDFilter(method="of_campaign")
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = MessageRecord
        fields: list[str] = []

    def of_campaign(
        self, rows: QuerySet[MessageRecord], name: str, campaign_id: UUID
    ) -> QuerySet[MessageRecord]:
        # By the outbox's id, of which both tables have an index; a join would read them whole.
        outbox = Outbox.objects.filter(campaign_id=campaign_id).values("pk")
        return rows.filter(outbox_id=Subquery(outbox))
