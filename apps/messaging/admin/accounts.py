from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import path
from django.utils import timezone
from unfold.decorators import display
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.common.admin.base import Admin
from apps.common.admin.columns import TENANT, Amount, ListLink, RowLink, badge
from apps.common.admin.operations import Operation
from apps.messaging.admin.dispatch_page import DispatchLink, dispatch_page
from apps.messaging.admin.remarks import in_flight
from apps.messaging.models import Account, Fan
from apps.messaging.services.accounts import pause_account, resume_account
from apps.messaging.services.connections import AccountFields, change_account
from apps.tenants.admin.forms import TenantChoice

_OWNERS = frozenset(AccountFields.__annotations__)


class AccountForm(TenantChoice):
    """The credential can be set and replaced, but is never shown."""

    credential = forms.CharField(
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="The platform's token for this account; stored encrypted, never shown.",
    )

    class Meta:
        model = Account
        fields = [
            "tenant",
            "name",
            "platform",
            "external_id",
            "credential",
            "limit_count",
            "limit_seconds",
            "min_gap_ms",
            "fan_gap_seconds",
            "fan_cap_count",
            "fan_cap_seconds",
            "time_zone",
            "quiet_start",
            "quiet_end",
            "quiet_zone",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Neither in the page nor in the comparison that says what has changed.
        self.initial.pop("credential", None)
        credential = self.fields["credential"]
        credential.required = self.instance._state.adding
        if not credential.required:
            credential.help_text += " Leave empty to keep the present one."

    def clean_credential(self) -> str:
        return str(self.cleaned_data["credential"]) or self.instance.credential


@admin.register(Account)
class AccountAdmin(Admin):
    form = AccountForm
    empty_hint = "Add a creator's account here, or with POST /api/v2/accounts."
    list_display = ["name", "state", "platform", "external_id", TENANT, "limit", "next_due", "created_at"]
    list_filter = ["platform", ("paused_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "external_id"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Name, platform's id, or 8+ digits of an id"
    ordering = ["name", "pk"]
    operations = [
        Operation(
            "pause",
            "Pause",
            "Nothing is sent from this account until it is resumed.",
            lambda account, order: pause_account(
                account=account, reason=f"Paused by {order.by}.", now=order.now
            ),
            "Paused",
            icon="pause",
            remark=in_flight,
            when=lambda account: not account.paused_at,
        ),
        Operation(
            "resume",
            "Resume",
            "What is queued is sent again, under the account's limit.",
            lambda account, order: resume_account(account=account, now=order.now),
            "Resumed",
            when=lambda account: bool(account.paused_at),
        ),
    ]
    lists = [
        DispatchLink(),
        ListLink("fans", "messaging.fan", account__id__exact="pk"),
        ListLink("messages", "messaging.message", account__id__exact="pk"),
        ListLink("archived ones too", "messaging.messagerecord", account__id__exact="pk"),
        ListLink("campaigns", "campaigns.campaignaccount", account__id__exact="pk"),
        ListLink("contents", "content.content", account__id__exact="pk"),
        ListLink("ledger entries", "costs.ledgerentry", account_id="pk"),
    ]
    readonly_fields = [
        "id",
        TENANT,
        "state",
        "paused_at",
        "pause_reason",
        "next_due",
        "blocked_until",
        *lists,
    ]
    limits = [
        (
            "Limits",
            {
                "fields": [
                    ("limit_count", "limit_seconds", "min_gap_ms"),
                    ("fan_cap_count", "fan_cap_seconds", "fan_gap_seconds"),
                    ("quiet_start", "quiet_end", "quiet_zone"),
                    "time_zone",
                ],
            },
        ),
    ]
    add_fieldsets = [
        (None, {"fields": ["tenant", "name", ("platform", "external_id"), "credential"]}),
        *limits,
    ]
    fieldsets = [
        (None, {"fields": [("id", TENANT), "name", ("platform", "external_id"), "credential"]}),
        ("Sending", {"fields": [("state", "paused_at", "pause_reason"), ("next_due", "blocked_until")]}),
        *limits,
        ("What belongs to it", {"fields": [tuple(lists)]}),
    ]

    def get_urls(self) -> list[Any]:
        dispatch = self.admin_site.admin_view(dispatch_page)
        return [path("dispatch/", dispatch, name="messaging_dispatch"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """What its owner may set goes through the service: a new pace then counts at once, as in the API."""
        given = {name: form.cleaned_data[name] for name in form.changed_data if name in _OWNERS}
        if change and given:
            fields: AccountFields = given  # type: ignore[assignment]  # its keys are the fields
            change_account(account_id=obj.pk, now=timezone.now(), **fields)
        super().save_model(request, obj, form, change)

    @display(description="state", ordering="paused_at")
    def state(self, account: Account) -> str:
        return badge("paused", "paused") if account.paused_at else badge("active", "active")

    @display(description="limit")
    def limit(self, account: Account) -> str:
        if account.limit_count is None:
            return "the platform's"
        return f"{account.limit_count} in {account.limit_seconds} s"


class FanForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Fan
        fields = [
            "account",
            "external_id",
            "name",
            "attributes",
            "spend",
            "last_purchase_at",
            "time_zone",
            "consent",
        ]

    def _post_clean(self) -> None:
        account = self.cleaned_data.get("account")
        if account:
            self.instance.tenant_id = account.tenant_id
        super()._post_clean()  # type: ignore[misc]  # not in the stubs


@admin.register(Fan)
class FanAdmin(Admin):
    form = FanForm
    empty_hint = "Fans come with POST /api/v2/accounts/{id}/fans, or one by one from here."
    list_display = [
        "name_or_id",
        "external_id",
        RowLink("account", "account"),
        TENANT,
        Amount("spend", "spend"),
        "consent",
        "last_purchase_at",
    ]
    list_filter = ["consent", "account__platform"]
    list_select_related = ["account"]
    search_exact = ["external_id", "name"]
    search_ids = ["pk", "account_id"]
    search_help_text = "Whole name or platform's id, or 8+ digits of an id"
    ordering = ["-pk"]
    sortable_by = ()
    autocomplete_fields = ["account"]
    readonly_fields = ["id", TENANT, ListLink("messages", "messaging.message", fan__id__exact="pk")]
    add_fieldsets = [
        (None, {"fields": ["account", ("external_id", "name"), "consent"]}),
        ("What is known", {"fields": [("spend", "last_purchase_at"), "time_zone", "attributes"]}),
    ]
    fieldsets = [
        (
            None,
            {"fields": [("id", TENANT, readonly_fields[2]), "account", ("external_id", "name"), "consent"]},
        ),
        ("What is known", {"fields": [("spend", "last_purchase_at"), "time_zone", "attributes"]}),
    ]

    @display(description="fan")
    def name_or_id(self, fan: Fan) -> str:
        return str(fan)
