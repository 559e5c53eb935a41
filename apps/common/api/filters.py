from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

PAGING = frozenset({"cursor", "limit"})


class TrueOrFalseField(forms.Field):
    """Refuses other words, which forms.NullBooleanField takes for no answer."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        given = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if given is None:
            raise forms.ValidationError("Give true or false.")
        return given


class BooleanFilter(django_filters.BooleanFilter):
    field_class = TrueOrFalseField


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
