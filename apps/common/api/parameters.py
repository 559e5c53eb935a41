"""What may stand in a request's query: nothing misspelt, and nothing of which only the last would count."""

from collections.abc import Mapping

from django.http import QueryDict
from django_filters import FilterSet, MultipleChoiceFilter
from rest_framework.exceptions import ValidationError

PAGING = ("cursor", "limit")


def of_list(filters: type[FilterSet]) -> dict[str, bool]:
    """The parameters of a list with these filters; which of them may be given several times."""
    several = {name: isinstance(each, MultipleChoiceFilter) for name, each in filters.base_filters.items()}
    return {**dict.fromkeys(PAGING, False), **several}


def check(given: QueryDict, known: Mapping[str, bool]) -> None:
    """Raises ValidationError for one that is unknown, or there more than once and not for several values."""
    for name, values in sorted(given.lists()):
        if name not in known:
            there = f"there are: {', '.join(sorted(known))}" if known else "there are none here"
            raise ValidationError({name: [f"This parameter is unknown; {there}."]})
        if len(values) > 1 and not known[name]:
            raise ValidationError({name: ["Give this parameter once."]})
