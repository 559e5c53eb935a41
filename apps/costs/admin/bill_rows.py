from decimal import Decimal
from typing import Any

from django.contrib import admin

from apps.common.admin.base import LongTableAdmin, ReadOnlyAdmin
from apps.common.admin.columns import EMPTY, TENANT, Amount, Badge, Column, IdLink, Mark, RowLink, badge
from apps.costs.models import UsageCorrection, UsageDifference, UsageLine

_IMPORT = RowLink("import", "usage_import")
_IN_DOLLARS = "Amounts are in US dollars."


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


@admin.register(UsageDifference)
class UsageDifferenceAdmin(ReadOnlyAdmin):
    list_before_template = "admin/list_note.html"
    list_note = _IN_DOLLARS
    empty_hint = "Import a provider's usage export first."
    list_display = [
        "day",
        "model",
        DifferenceBadge("state", order_by="state"),
        Amount("theirs", "amount", currency=""),
        Amount("ours", "our_amount", currency=""),
        Differing("ours is more by"),
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
                    (Amount("amount", "amount"), Mark("by our prices", "priced")),
                ]
            },
        ),
        (
            "Ours",
            {
                "fields": [
                    ("our_requests", "our_input_tokens", "our_cached_tokens", "our_output_tokens"),
                    Amount("amount", "our_amount"),
                ]
            },
        ),
        (
            "Estimates",
            {
                "fields": [
                    ("estimates", Amount("estimate", "estimated_amount")),
                    (Amount("corrected to", "rest"), "reason"),
                ]
            },
        ),
    ]


@admin.register(UsageLine)
class UsageLineAdmin(ReadOnlyAdmin):
    list_before_template = "admin/list_note.html"
    list_note = _IN_DOLLARS
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
                    Amount("amount", "amount"),
                ]
            },
        )
    ]


@admin.register(UsageCorrection)
class UsageCorrectionAdmin(LongTableAdmin):
    list_before_template = "admin/list_note.html"
    list_note = _IN_DOLLARS
    empty_hint = "An import's corrections are listed here once they are ordered."
    _generation = IdLink("generation", "generation_id", to="ai.generation", name=None)
    list_display = [
        "day",
        "model",
        Badge("state", "state"),
        Amount("estimate", "bound", currency=""),
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
                    (Amount("estimate", "bound"), Amount("has cost", "amount")),
                ]
            },
        )
    ]
