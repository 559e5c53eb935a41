from typing import Any

from django.contrib import admin
from django.utils.html import format_html

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import EMPTY, TENANT, Amount, Column, Preformatted, money, unbroken
from apps.costs.models import Forecast

SPENT, POINT = Amount("spent", "spent", rounded=True), Amount("point", "point", rounded=True)
INTERVALS = [
    Amount(name.replace("_", " "), name, rounded=True) for name in ("low_80", "high_80", "low_95", "high_95")
]


class Interval(Column):
    """From and to, in one column: two would be wider than a screen."""

    def __init__(self, percent: int) -> None:
        super().__init__(f"with {percent} %")
        self.percent = percent

    def __call__(self, forecast: Any) -> str:
        low, high = (getattr(forecast, f"{end}_{self.percent}") for end in ("low", "high"))
        if low is None or high is None:
            return EMPTY
        return format_html("{} to {}", money(low), unbroken(f"{money(high)} {forecast.currency}"))


@admin.register(Forecast)
class ForecastAdmin(LongTableAdmin):
    empty_hint = "Each tenant's month is forecast each night, soon after its midnight."
    list_display = [
        "made_on",
        TENANT,
        "month",
        SPENT,
        POINT,
        Interval(80),
        Interval(95),
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
