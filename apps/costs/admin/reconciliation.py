from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from apps.common.admin.base import Admin, LongTableAdmin, ReadOnlyAdmin
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Badge,
    Column,
    IdLink,
    ListLink,
    Mark,
    RowLink,
    badge,
)
from apps.common.admin.operations import Operation, Order
from apps.common.errors import DomainError
from apps.costs.hints import hint_corrections
from apps.costs.models import BilledBy, ImportState, UsageCorrection, UsageDifference, UsageImport, UsageLine
from apps.costs.services import corrections, usage_imports

# It is read in the page's transaction, which may not idle for long.
_MOST_BYTES = 20 * 2**20
_IMPORT = RowLink("import", "usage_import")
_LISTS = [
    ListLink("differences", "costs.usagedifference", usage_import__id__exact="pk"),
    ListLink("lines", "costs.usageline", usage_import__id__exact="pk"),
    ListLink("corrections", "costs.usagecorrection", usage_import__id__exact="pk"),
]


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]  # of one model
    """A file that is imported when the form is checked, so that what is wrong with it stands beside it."""

    provider = forms.ChoiceField(choices=BilledBy.choices, widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text="The provider's usage or cost export, as CSV, up to 20 MB; for larger ones:"
        " manage.py reconcile_usage.",
    )

    class Meta:
        model = UsageImport
        fields = ["provider", "file"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > _MOST_BYTES:
            raise forms.ValidationError("It has more than 20 MB: use manage.py reconcile_usage.")
        return file


class Differing(Column):
    """How much more ours is than theirs."""

    def __call__(self, row: Any) -> str:
        if row.amount is None:
            return EMPTY
        more: Decimal = row.our_amount - row.amount
        return f"{more / row.amount * 100:+.1f} %" if row.amount else EMPTY


class DifferenceBadge(Column):
    _colours = {"matched": "done", "different": "warning", "ours_only": "open", "theirs_only": "open"}

    def __call__(self, row: Any) -> str:
        return badge(self._colours[row.state], row.get_state_display())


def _correct(each: UsageImport, order: Order) -> int:
    planned = corrections.plan_corrections(usage_import=each, now=order.now)
    hint_corrections()
    return planned


def _compare(each: UsageImport, order: Order) -> None:
    usage_imports.compare_again(usage_import=each, now=order.now)


@admin.register(UsageImport)
class UsageImportAdmin(ReadOnlyAdmin):
    add_form = UploadForm
    empty_hint = "Add a provider's usage export, and see where it differs from the ledger."
    list_display = [
        "file_name",
        "provider",
        Badge("state", "state"),
        "first_day",
        "last_day",
        "lines",
        "created_at",
        _LISTS[0],
    ]
    list_filter = ["provider", "state"]
    search_fields = ["file_name"]
    search_help_text = "File name, or 8+ digits of its id"
    ordering = ["-pk"]
    operations = [
        Operation(
            "correct_estimates",
            "Correct the estimates",
            "What its differences explain is entered in the ledger, for good. Look at them first.",
            _correct,
            "The corrections are planned, and entered within seconds",
            icon="rule",
            when=lambda row: row.state != ImportState.CORRECTING,
        ),
        Operation(
            "compare_again",
            "Compare again",
            "Its differences are made anew, with the ledger as it is now.",
            _compare,
            "Compared again",
            icon="sync",
            when=lambda row: row.state != ImportState.CORRECTING,
        ),
    ]
    add_fieldsets = [(None, {"fields": ["provider", "file"]})]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("file_name", "provider", Badge("state", "state")),
                    ("first_day", "last_day", "layout"),
                    ("lines", "other_lines"),
                    tuple(_LISTS),
                ]
            },
        ),
        (
            "When",
            {
                "fields": [
                    (
                        "created_at",
                        "compared_at",
                        IdLink("by", "uploaded_by", to="tenants.user", name="email"),
                    ),
                    ("above_bounds", "sha256"),
                ]
            },
        ),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(Admin.has_add_permission(self, request))

    def get_fieldsets(self, request: HttpRequest, obj: UsageImport | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return super().get_readonly_fields(request, obj) if obj else ()

    def get_form(self, request: HttpRequest, obj: UsageImport | None = None, **options: Any) -> Any:
        return super().get_form(request, obj, **options) if obj else _uploading(request)

    def save_model(self, request: HttpRequest, obj: UsageImport, form: Any, change: bool) -> None:
        """Nothing is left to do: the form has imported it."""


def _uploading(request: HttpRequest) -> type[UploadForm]:
    class Uploading(UploadForm):
        def clean(self) -> dict[str, Any]:
            given = super().clean() or {}
            if file := given.get("file"):
                try:
                    self.instance = usage_imports.import_usage(
                        provider=given["provider"],
                        file=file.file,
                        file_name=file.name,
                        now=timezone.now(),
                        uploaded_by=request.user.pk,
                    )
                except DomainError as refusal:
                    self.add_error("file", refusal.message.split("\n"))
            return given

        def _post_clean(self) -> None:
            """The row is made by the service."""

    return Uploading


@admin.register(UsageDifference)
class UsageDifferenceAdmin(ReadOnlyAdmin):
    empty_hint = "Import a provider's usage export first."
    list_display = [
        "day",
        "model",
        DifferenceBadge("state", order_by="state"),
        Amount("theirs", "amount", currency=""),
        Amount("ours", "our_amount", currency=""),
        Differing("ours is more by"),
        "input_tokens",
        "our_input_tokens",
        "output_tokens",
        "our_output_tokens",
        "estimates",
        Amount("corrected to", "rest", currency=""),
    ]
    list_filter = ["state", "provider", "model", ("rest", admin.EmptyFieldListFilter), "day", "usage_import"]
    list_select_related = ["usage_import"]
    ordering = ["-day", "model", "pk"]
    search_ids = ["pk", "usage_import_id"]
    search_help_text = "8+ digits of an import's id"
    fieldsets = [
        (
            None,
            {"fields": [_IMPORT, ("day", "provider", "model"), DifferenceBadge("state", order_by="state")]},
        ),
        (
            "Theirs",
            {
                "fields": [
                    ("requests", "input_tokens", "cached_tokens", "output_tokens"),
                    (Amount("amount", "amount", currency=""), Mark("by our prices", "priced")),
                ]
            },
        ),
        (
            "Ours",
            {
                "fields": [
                    ("our_requests", "our_input_tokens", "our_cached_tokens", "our_output_tokens"),
                    Amount("amount", "our_amount", currency=""),
                ]
            },
        ),
        (
            "Estimates",
            {
                "fields": [
                    ("estimates", Amount("entered at", "estimated_amount", currency="")),
                    (Amount("corrected to", "rest", currency=""), "reason"),
                ]
            },
        ),
    ]


@admin.register(UsageLine)
class UsageLineAdmin(ReadOnlyAdmin):
    empty_hint = "Import a provider's usage export first."
    list_display = [
        "day",
        "model",
        "key",
        "requests",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        Amount("amount", "amount", currency=""),
    ]
    list_select_related = ["usage_import"]
    ordering = ["-pk"]
    sortable_by = ()
    search_ids = ["pk", "usage_import_id"]
    search_help_text = "8+ digits of an import's id"
    list_filter = ["usage_import"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    _IMPORT,
                    ("day", "model", "key"),
                    ("requests", "input_tokens", "cached_tokens", "output_tokens"),
                    Amount("amount", "amount", currency=""),
                ]
            },
        )
    ]


@admin.register(UsageCorrection)
class UsageCorrectionAdmin(LongTableAdmin):
    empty_hint = "An import's corrections are listed here once they are ordered."
    _generation = IdLink("generation", "generation_id", to="ai.generation", name=None)
    list_display = [
        "day",
        "model",
        Badge("state", "state"),
        Amount("entered at", "bound", currency=""),
        Amount("has cost", "amount", currency=""),
        _generation,
        "attempt",
        TENANT,
        "entered_at",
    ]
    list_filter = ["state", "model", "usage_import"]
    list_select_related = ["usage_import"]
    search_ids = ["pk", "generation_id", "tenant_id", "usage_import_id"]
    search_help_text = "8+ digits of a generation's, tenant's or import's id"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (TENANT, _IMPORT),
                    ("day", "model", Badge("state", "state"), "entered_at"),
                    (_generation, "attempt", IdLink("hold", "hold_id", to="costs.hold", name=None)),
                    ("input_tokens", "cached_tokens", "output_tokens"),
                    (Amount("entered at", "bound", currency=""), Amount("has cost", "amount", currency="")),
                ]
            },
        )
    ]
