from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.common.admin.base import Admin, ReadOnlyAdmin
from apps.common.admin.columns import Badge, IdLink, ListLink
from apps.common.admin.operations import Operation, Order
from apps.costs.admin.bill_upload import uploading
from apps.costs.hints import hint_corrections
from apps.costs.models import ImportState, UsageImport
from apps.costs.services import corrections, usage_imports

_LISTS = [
    ListLink("differences", "costs.usagedifference", usage_import__id__exact="pk"),
    ListLink("lines", "costs.usageline", usage_import__id__exact="pk"),
    ListLink("corrections", "costs.usagecorrection", usage_import__id__exact="pk"),
]


def _correct(each: UsageImport, order: Order) -> int:
    planned = corrections.plan_corrections(usage_import=each, now=order.now)
    hint_corrections()
    return planned


def _compare(each: UsageImport, order: Order) -> None:
    usage_imports.compare_again(usage_import=each, now=order.now)


@admin.register(UsageImport)
class UsageImportAdmin(ReadOnlyAdmin):
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
        return super().get_form(request, obj, **options) if obj else uploading(request)

    def save_model(self, request: HttpRequest, obj: UsageImport, form: Any, change: bool) -> None:
        """Nothing is left to do: the form has imported it."""
