import django_filters

from apps.common.api.filters import BooleanFilter
from apps.costs.models import Budget, BudgetMode, BudgetPeriod, BudgetScope
from apps.costs.price_list import PROVIDERS


class BudgetFilter(django_filters.FilterSet):
    scope = django_filters.MultipleChoiceFilter(choices=BudgetScope.choices)
    scope_id = django_filters.UUIDFilter(help_text="The account, campaign or user that it is for.")
    period = django_filters.MultipleChoiceFilter(choices=BudgetPeriod.choices)
    provider = django_filters.MultipleChoiceFilter(choices=[(each, each) for each in PROVIDERS])
    mode = django_filters.MultipleChoiceFilter(choices=BudgetMode.choices)
    is_active = BooleanFilter()

    class Meta:
        model = Budget
        fields: list[str] = []
