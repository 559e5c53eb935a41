from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.common.admin.base import Admin, ReadOnlyInline
from apps.common.admin.columns import TENANT, Badge, ListLink, RowLink
from apps.common.admin.operations import Operation, Order
from apps.common.connections import give_back_connection
from apps.notifications.channels.http import place_problem
from apps.notifications.channels.webhook import read_signing_key
from apps.notifications.hints import hint_deliveries
from apps.notifications.models import Channel, Delivery, NotificationTarget
from apps.notifications.rules import rules_problem
from apps.notifications.services.target_changes import delete_target, save_target
from apps.notifications.services.targets import test_target
from apps.tenants.admin.forms import TenantChoice
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

_SECRETS = ("url", "signing_key")


class TargetForm(TenantChoice):
    """URL and signing key can be set and replaced, but are never shown."""

    # Why nothing would be sent to the URL that is given: the page has looked.
    place_problem = ""

    tenant = forms.ModelChoiceField(
        Tenant.objects.all(),
        widget=UnfoldAdminSelectWidget,
        required=False,
        empty_label="The platform itself",
        help_text="Whose alerts it hears of. The platform's own are those that are no tenant's.",
    )
    url = forms.CharField(
        label="URL",
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="For Slack and webhooks; stored encrypted, never shown. One that leads into a private "
        "network is refused, unless HUNTAZE_PRIVATE_TARGETS=true.",
    )
    signing_key = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="For webhooks; stored encrypted, never shown. Empty: one is made and shown once.",
    )

    class Meta:
        model = NotificationTarget
        fields = [
            *("tenant", "channel", "name", "address", "url", "signing_key"),
            *("minimum_level", "muted_rules", "digest_minutes", "is_active"),
        ]
        widgets = {"muted_rules": UnfoldAdminTextInputWidget()}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in _SECRETS:
            # Neither in the page nor in the comparison that says what has changed.
            self.initial.pop(name, None)
            if not self.instance._state.adding:
                self.fields[name].help_text += " Leave empty to keep the present one."

    def _get_validation_exclusions(self) -> set[str]:
        # A name is unique within its tenant, and among the platform's own.
        return super()._get_validation_exclusions() - {"tenant_id"}

    def _post_clean(self) -> None:
        # After the model has judged: of a URL that was refused by then, it would miss one.
        super()._post_clean()
        leads_there = self.cleaned_data.get("channel") != Channel.EMAIL and "url" not in self.errors
        if leads_there and self.place_problem:
            self.add_error("url", self.place_problem)

    def clean_muted_rules(self) -> list[str]:
        names: list[str] = self.cleaned_data["muted_rules"]
        if problem := rules_problem(names):
            raise forms.ValidationError(problem)
        return names

    def clean_url(self) -> str:
        return str(self.cleaned_data["url"]) or self.instance.url

    def clean_signing_key(self) -> str:
        given = str(self.cleaned_data["signing_key"])
        if given:
            try:
                read_signing_key(given)
            except ValueError as error:
                raise forms.ValidationError(str(error)) from error
        return given or self.instance.signing_key


class RecentDeliveries(ReadOnlyInline):
    model = Delivery
    fields = [
        RowLink("alert", "alert"),
        Badge("state", "state"),
        "attempts",
        "sent_at",
        "error",
        "created_at",
    ]
    readonly_fields = fields
    ordering = ["-pk"]
    per_page = 10
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("alert")


def _test(target: NotificationTarget, order: Order) -> None:
    test_target(target=target, now=order.now)
    hint_deliveries()


def _looks_first(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A page that looks up where a URL leads before its transaction, which waits for no network."""

    @wraps(view)
    def looking(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        url = request.POST.get("url", "")
        if url and not connection.in_atomic_block:
            give_back_connection()
        request.place_problem = place_problem(url) if url else ""  # type: ignore[attr-defined]  # get_form reads it
        with system_transaction():
            response = view(self, request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.render()
        return response

    looking.opens_doors_itself = True  # type: ignore[attr-defined]  # the admin site reads it
    return looking


@admin.register(NotificationTarget)
class TargetAdmin(Admin):
    form = TargetForm
    deletable = True
    empty_hint = (
        "Without targets, alerts go to COST_ALERT_EMAIL, or a tenant's owners if that isn't set, and to "
        "SLACK_WEBHOOK_URL if it is."
    )
    list_display = ["name", "channel", "address", TENANT, "minimum_level", "digest_minutes", "is_active"]
    list_filter = ["channel", "minimum_level", "is_active"]
    search_fields = ["name", "address"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Name, address, or 8+ digits of an id"
    ordering = ["name", "pk"]
    inlines = [RecentDeliveries]
    operations = [
        Operation(
            "send_test",
            "Send a test",
            "A harmless alert goes to this target alone, the way that all go.",
            _test,
            "A test is on its way",
            icon="send",
            remark=lambda _: "What became of it is below within seconds: load the page again.",
        )
    ]
    readonly_fields = [TENANT, ListLink("deliveries", "notifications.delivery", destination__id__exact="pk")]
    _what = (
        "What",
        {"fields": [("minimum_level", "digest_minutes"), "muted_rules", "is_active"]},
    )
    add_fieldsets = [
        (None, {"fields": ["tenant", ("channel", "name"), "address", "url", "signing_key"]}),
        _what,
    ]
    fieldsets = [
        (
            None,
            {"fields": [(TENANT, readonly_fields[1]), ("channel", "name"), "address", "url", "signing_key"]},
        ),
        _what,
    ]

    @_looks_first
    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().add_view(request, *args, **kwargs)

    @_looks_first
    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().change_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        form.place_problem = getattr(request, "place_problem", "")
        return form

    def get_queryset(self, request: HttpRequest) -> Any:
        # A list needs no secrets, and must not fail of one that can't be read.
        return super().get_queryset(request).defer(*_SECRETS)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_target(target=obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for target in queryset.order_by("pk"):
            delete_target(target=target)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        columns = {field.name for field in self.opts.concrete_fields}
        changed = columns.intersection(form.changed_data) if change else None
        saved = save_target(target=obj, columns=changed)
        if saved.made_key and change:
            form.changed_data.append("signing_key")
        if saved.made_key:
            messages.warning(request, f"Its signing key, shown this once: {saved.made_key}")
