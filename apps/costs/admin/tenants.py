import re
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelect2Widget

from apps.common.money import LEDGER_CURRENCY
from apps.costs.currencies import CODE, IN_USE
from apps.costs.services.budgets import change_time_zone
from apps.costs.services.currencies import currencies_with_rates, has_rates
from apps.tenants.admin.tenants import TenantAdmin
from apps.tenants.models import Tenant

admin.site.unregister(Tenant)


class TenantForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Tenant
        fields = ["name", "time_zone", "currency"]
        widgets: ClassVar = {"currency": UnfoldAdminSelect2Widget()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "currency" in self.fields:  # not for those who may only look
            self.fields["currency"].widget.choices = _currencies(self["currency"].value())

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).strip()
        if not re.fullmatch(CODE, currency):
            raise forms.ValidationError("Three capital letters, as in ISO 4217: EUR.")
        return currency


def _currencies(present: object) -> list[tuple[str, list[tuple[str, str]]]]:
    """All that are in use, those that amounts can be shown in first; and the present one, whatever it is."""
    shown = sorted({LEDGER_CURRENCY, *currencies_with_rates()})
    others = sorted({*IN_USE, str(present or LEDGER_CURRENCY)} - set(shown))
    groups = {"Amounts can be shown in": shown, "Without an exchange rate so far": others}
    return [(title, [(code, code) for code in codes]) for title, codes in groups.items()]


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
