from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

PAGING = frozenset({"cursor", "limit"})


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses parameters that it doesn't know, so that a misspelt filter doesn't let everything through."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        filterset_class = self.get_filterset_class(view, queryset)
        known = {*PAGING, *(filterset_class.base_filters if filterset_class else ())}
        if unknown := sorted(set(request.query_params) - known):
            names = ", ".join(sorted(known))
            raise ValidationError({unknown[0]: [f"This parameter is unknown; there are: {names}."]})
        rows: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return rows
