from django.contrib import admin

from apps.common.admin.base import Admin
from apps.common.admin.columns import (
    Amount,
)
from apps.costs.models import Price


@admin.register(Price)
class PriceAdmin(Admin):
    """A price that entries point at never changes: a new one starts later."""

    deletable = True
    empty_hint = "A model without a price is refused. Add one, or run: manage.py ensure_deployments"
    rates = [
        Amount("input per million", "input_per_million"),
        Amount("cached input per million", "cached_input_per_million"),
        Amount("output per million", "output_per_million"),
    ]
    list_display = ["provider", "model", *rates, "starts_at"]
    list_filter = ["provider", "currency"]
    search_fields = ["provider", "model"]
    search_ids = []
    search_help_text = "Provider or model"
    readonly_fields = rates
    fieldsets = [(None, {"fields": [("provider", "model"), tuple(rates), "starts_at"]})]
    add_fieldsets = [
        (
            None,
            {
                "fields": [
                    ("provider", "model"),
                    ("input_per_million", "cached_input_per_million", "output_per_million"),
                    "starts_at",
                ],
                "description": "A price holds until the next one starts. It never changes: add a new one.",
            },
        )
    ]

    def has_change_permission(self, request: object, obj: Price | None = None) -> bool:
        return False
