import re
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone

from apps.costs.currencies import CODE
from apps.costs.services.budgets import change_time_zone
from apps.costs.services.currencies import has_rates
from apps.tenants.admin.tenants import TenantAdmin
from apps.tenants.models import Tenant

admin.site.unregister(Tenant)


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).strip()
        if not re.fullmatch(CODE, currency):
            raise forms.ValidationError("Three capital letters, as in ISO 4217: EUR.")
        return currency


@admin.register(Tenant)
class TenantWithCalendarAdmin(TenantAdmin):
    """A tenant whose time zone may change, which moves the periods of its budgets, and its currency."""

    form = TenantForm

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change and "time_zone" in form.changed_data:
            change_time_zone(tenant=obj, time_zone=obj.time_zone, now=timezone.now())
        super().save_model(request, obj, form, change)
        if "currency" in form.changed_data and not has_rates(obj.currency):
            messages.warning(
                request, f"There is no exchange rate of {obj.currency} yet, so only USD is shown."
            )
