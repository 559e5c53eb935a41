from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.common.ids import first_id_of

_SPANS = {
    "hour": ("the last hour", timedelta(hours=1)),
    "day": ("the last 24 hours", timedelta(days=1)),
    "week": ("the last 7 days", timedelta(days=7)),
    "month": ("the last 30 days", timedelta(days=30)),
}


class MadeInFilter(SimpleListFilter):
    """When a row was made, read from its version 7 id: the primary key answers, however long the table is."""

    title = "age"
    parameter_name = "made_in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [(key, text) for key, (text, _) in _SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = _SPANS.get(self.value() or "")
        return queryset.filter(pk__gte=first_id_of(timezone.now() - span[1])) if span else queryset
