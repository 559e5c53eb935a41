from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from apps.tenants.models import Tenant


class TenantChoice(forms.ModelForm):  # type: ignore[type-arg]  # for any model with a tenant
    """A form for a row whose tenant is chosen when it is made and never changes."""

    tenant = forms.ModelChoiceField(
        Tenant.objects.all(), widget=UnfoldAdminSelectWidget, empty_label="Select the tenant"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields.pop("tenant", None)

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        return excluded - {"tenant_id"} if self.cleaned_data.get("tenant") else excluded

    def _post_clean(self) -> None:
        # Before validation of the row, whose constraints name the tenant.
        chosen = self.cleaned_data.get("tenant")
        if chosen:
            self.instance.tenant_id = chosen.pk
        super()._post_clean()  # type: ignore[misc]  # not in the stubs
