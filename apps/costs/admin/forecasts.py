from django.contrib import admin

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Amount, Preformatted
from apps.costs.models import Forecast

SPENT, POINT = Amount("spent", "spent", rounded=True), Amount("point", "point", rounded=True)
INTERVALS = [
    Amount(name.replace("_", " "), name, rounded=True) for name in ("low_80", "high_80", "low_95", "high_95")
]


@admin.register(Forecast)
class ForecastAdmin(LongTableAdmin):
    empty_hint = "Each tenant's month is forecast each night, soon after its midnight."
    list_display = [
        "made_on",
        TENANT,
        "month",
        SPENT,
        POINT,
        *INTERVALS,
        "method",
    ]
    list_filter = ["method"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "8+ digits of a tenant's id or the row's own"
    fieldsets = [
        (None, {"fields": [(TENANT, "made_on", "made_at"), ("month", "observed_days")]}),
        (
            "Month's end",
            {"fields": [(SPENT, POINT), tuple(INTERVALS)]},
        ),
        ("Why", {"fields": ["method", "reason", Preformatted("back-test", "backtest")]}),
        (
            "Days",
            {
                "fields": [
                    Preformatted("days", "days"),
                    Preformatted("totals", "totals"),
                    Preformatted("budgets", "budgets"),
                ],
                "classes": ["collapse"],
            },
        ),
    ]
