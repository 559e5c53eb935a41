from typing import Any

import django_filters
from django import forms


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
