from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget

from apps.common.admin.base import Admin
from apps.common.admin.columns import EMPTY, row_link
from apps.messaging.hints import hint_resumed
from apps.messaging.models import Layer, SendLimit
from apps.tenants.models import Tenant, User

HOW_IT_WORKS = (
    "A message takes a slot of every layer that has a limit, or of none. Of recipients and accounts the "
    "platform's limit holds, or that of all platforms, or the installation's (HUNTAZE_SEND_LIMIT_COUNT in "
    "HUNTAZE_SEND_LIMIT_SECONDS); a limit that stands in an account's own page comes before all of these. Of "
    "users, tenants and everything there is no limit unless one stands here; one for a user or tenant comes "
    "before that of all. A change holds for the next message, counting what has been sent before it."
)


class SendLimitForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """What a limit is for is settled when it is made; how much may change."""

    tenant = forms.ModelChoiceField(
        Tenant.objects.all(),
        widget=UnfoldAdminSelectWidget,
        required=False,
        help_text="For the layer “Tenant”; empty: each that has none of its own.",
    )
    user = forms.ModelChoiceField(
        User.objects.all(),
        widget=UnfoldAdminSelectWidget,
        required=False,
        help_text="For the layer “User”; empty: each that has none of their own.",
    )

    class Meta:
        model = SendLimit
        fields = ["layer", "platform", "tenant", "user", "count", "seconds", "min_gap_ms"]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        for name, layer in (("tenant", Layer.TENANT), ("user", Layer.USER)):
            chosen = given.get(name)
            if chosen and given.get("layer") != layer:
                self.add_error(name, f"Only a limit of the layer “{layer.label}” is for one {name}.")
            elif chosen:
                self.instance.subject_id = chosen.pk
        return given

    def _get_validation_exclusions(self) -> set[str]:
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        # The constraints name it, and those that name something left out aren't checked.
        return excluded - {"subject_id"}


@admin.register(SendLimit)
class SendLimitAdmin(Admin):
    deletable = True
    form = SendLimitForm
    empty_hint = (
        "No limit but the installation's and those of single accounts. Add one for a platform or a tenant."
    )
    list_display = ["layer", "whose", "most", "gap", "created_at"]
    list_filter = ["layer", "platform"]
    search_ids = ["pk", "subject_id"]
    search_help_text = "8+ digits of its id, or of a user or tenant"
    ordering = ["layer", "platform", "subject_id"]
    amount = ("How much", {"fields": [("count", "seconds", "min_gap_ms")]})
    add_fieldsets = [
        (None, {"fields": ["layer", ("platform", "tenant", "user")], "description": HOW_IT_WORKS}),
        amount,
    ]
    fieldsets = [(None, {"fields": [("layer", "whose")], "description": HOW_IT_WORKS}), amount]

    def get_readonly_fields(self, request: HttpRequest, obj: SendLimit | None = None) -> list[Any]:
        return ["layer", "whose"] if obj else []

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        hint_resumed()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        hint_resumed()

    @display(description="for", ordering="subject_id")
    def whose(self, limit: SendLimit) -> str:
        if limit.subject_id:
            to = "tenants.user" if limit.layer == Layer.USER else "tenants.tenant"
            return row_link(to, limit.subject_id)
        if limit.layer in (Layer.RECIPIENT, Layer.ACCOUNT):
            return str(limit.get_platform_display() if limit.platform else "every platform")
        return EMPTY if limit.layer == Layer.GLOBAL else f"each {limit.layer}"

    @display(description="at most", ordering="count")
    def most(self, limit: SendLimit) -> str:
        return f"{limit.count:,} in {limit.seconds:,} s"

    @display(description="minimum gap", ordering="min_gap_ms")
    def gap(self, limit: SendLimit) -> str:
        return f"{limit.min_gap_ms:,} ms" if limit.min_gap_ms else EMPTY
