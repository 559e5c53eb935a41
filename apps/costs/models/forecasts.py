from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned
from apps.costs.forecasting.methods import Method


class Forecast(TenantOwned):
    """What a tenant's month will come to, as it looked on one of its days. Made again, it is overwritten."""

    made_on = models.DateField(help_text="The day, by the tenant's calendar.")
    made_at = models.DateTimeField()
    month = models.DateField(help_text="The month's first day.")
    method = models.CharField(max_length=16, choices=[(each.value, each.value) for each in Method])
    reason = models.TextField(help_text="Why this method.")
    observed_days = models.PositiveSmallIntegerField(help_text="Whole days since the first spend.")
    spent = MoneyField(help_text="In the month, when it was made.")
    point = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="What the whole month will cost; empty: nothing can be said."
    )
    low_80 = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    high_80 = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    low_95 = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    high_95 = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    currency = CurrencyField()
    days = models.JSONField(default=list, help_text="Each day from that one to the month's last.")
    totals = models.JSONField(
        default=list, help_text="What the month has come to by the end of each of its days."
    )
    backtest = models.JSONField(
        null=True, blank=True, help_text="How models did in the past; empty: it is too short."
    )
    # The small part that the alert rule reads, and the sums by day, by the budget's id.
    budgets = models.JSONField(default=list, help_text="What the present period of each budget will come to.")
    budget_totals = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "made_on"], name="forecast_once_a_day"),
            models.CheckConstraint(
                condition=Q(method__in=[each.value for each in Method]), name="forecast_method_known"
            ),
            models.CheckConstraint(
                condition=Q(method=Method.NONE.value, point__isnull=True)
                | (~Q(method=Method.NONE.value) & Q(point__isnull=False)),
                name="forecast_says_something",
            ),
            models.CheckConstraint(
                condition=Q(point__isnull=True)
                | Q(
                    low_95__gte=0,
                    low_80__gte=models.F("low_95"),
                    point__gte=models.F("low_80"),
                    high_80__gte=models.F("point"),
                    high_95__gte=models.F("high_80"),
                ),
                name="forecast_intervals_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} as of {self.made_on}"
