import django_filters

from apps.ai.models import (
    Generation,
    GenerationState,
    Recommendation,
    RecommendationKind,
    Source,
    Status,
    TaskKind,
)


class GenerationFilter(django_filters.FilterSet):
    state = django_filters.MultipleChoiceFilter(choices=GenerationState.choices)
    task = django_filters.MultipleChoiceFilter("task_kind", choices=TaskKind.choices)
    source = django_filters.MultipleChoiceFilter(choices=Source.choices)
    account = django_filters.UUIDFilter("account_id")
    campaign = django_filters.UUIDFilter("campaign_id")
    user = django_filters.UUIDFilter("user_id")
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = django_filters.IsoDateTimeFilter("created_at", "lt")

    class Meta:
        model = Generation
        fields: list[str] = []


class RecommendationFilter(django_filters.FilterSet):
    status = django_filters.MultipleChoiceFilter(choices=Status.choices)
    kind = django_filters.MultipleChoiceFilter(choices=RecommendationKind.choices)
    task = django_filters.MultipleChoiceFilter("task_kind", choices=TaskKind.choices)

    class Meta:
        model = Recommendation
        fields: list[str] = []
