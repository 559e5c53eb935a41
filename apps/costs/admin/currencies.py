from typing import Any

from django import forms
from django.contrib import admin
from django.utils import timezone

from apps.common.admin.base import Admin
from apps.common.admin.columns import Amount
from apps.costs.models import ExchangeRate


class ExchangeRateForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = ExchangeRate
        fields = ["currency", "date", "per_usd", "source"]

    def clean_date(self) -> Any:
        day = self.cleaned_data["date"]
        if day > timezone.now().date():
            raise forms.ValidationError("That day is still to come, and its rate isn't known.")
        return day


@admin.register(ExchangeRate)
class ExchangeRateAdmin(Admin):
    """For display alone, so a rate may be corrected: nothing is billed by it."""

    form = ExchangeRateForm
    deletable = True
    empty_hint = "Without rates everybody sees US dollars. Enter many: manage.py import_exchange_rates FILE"
    list_display = ["currency", "date", Amount("per US dollar", "per_usd"), "source"]
    list_display_links = ["date"]
    list_filter = ["currency"]
    search_fields = ["currency", "source"]
    search_ids = ["pk"]
    search_help_text = "Currency or source"
    fieldsets = [(None, {"fields": [("currency", "date", "per_usd"), "source"]})]
