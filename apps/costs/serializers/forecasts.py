"""What the month and the budgets will come to, as JSON."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import MoneyField
from apps.common.money import Money
from apps.costs.display import AtOneRate
from apps.costs.forecasting.bands import Band, DayBand
from apps.costs.forecasting.methods import Method
from apps.costs.price_list import PROVIDERS
from apps.costs.serializers.reports import Displayed

_SHOWN = "In the tenant's currency, at today's rate; null without one (`display_missing`)."


class IntervalSerializer(serializers.Serializer[Any]):
    low = MoneyField()
    high = MoneyField()


class BandAmountsSerializer(serializers.Serializer[Any]):
    """The likeliest amount, and the intervals in which it lies with 80 and with 95 %."""

    point = MoneyField()
    interval_80 = IntervalSerializer()
    interval_95 = IntervalSerializer()


class BandSerializer(BandAmountsSerializer):
    """The likeliest amount, and the intervals in which it lies with 80 and with 95 %."""

    display = BandAmountsSerializer(allow_null=True, help_text=_SHOWN)

    def to_representation(self, instance: Band) -> dict[str, Any]:
        return super().to_representation(_amounts(instance, self.context["shown"]))


class DayBandSerializer(BandSerializer):
    day = serializers.DateField()

    def to_representation(self, instance: DayBand) -> dict[str, Any]:  # type: ignore[override]  # a day has a band
        values = {"day": instance.day, **_amounts(instance.band, self.context["shown"])}
        return serializers.Serializer[Any].to_representation(self, values)


def _amounts(band: Band, shown: AtOneRate) -> dict[str, Any]:
    return {**_spread(band, Money), "display": _spread(band, shown.money) if shown.per_usd else None}


def _spread(band: Band, money: Callable[[Decimal], Money | None]) -> dict[str, Any]:
    return {
        "point": money(band.point),
        "interval_80": {"low": money(band.low_80), "high": money(band.high_80)},
        "interval_95": {"low": money(band.low_95), "high": money(band.high_95)},
    }


class _Span(serializers.Serializer[Any]):
    """Days: `from`, which no attribute in Python may be called, and `to`."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateField(source="since", help_text="The first day."),
            "to": serializers.DateField(source="until", help_text="The last day."),
            **super().get_fields(),
        }


class MonthSerializer(_Span):
    """The month, by the tenant's calendar."""


class ReachedSerializer(serializers.Serializer[Any]):
    """Days on which a limit is reached; null: not in this period."""

    point = serializers.DateField(allow_null=True)
    earliest_80 = serializers.DateField(allow_null=True)
    latest_80 = serializers.DateField(allow_null=True)
    earliest_95 = serializers.DateField(allow_null=True)
    latest_95 = serializers.DateField(allow_null=True)


class DisplayedOutlookSerializer(serializers.Serializer[Any]):
    limit = MoneyField(allow_null=True)
    spent_so_far = MoneyField(allow_null=True)


class BudgetOutlookSerializer(_Span):
    id = serializers.UUIDField(source="budget.pk")
    scope = serializers.CharField(source="budget.scope")
    scope_id = serializers.UUIDField(source="budget.scope_id", allow_null=True)
    provider = serializers.SerializerMethodField()
    period = serializers.CharField(source="budget.period")
    limit = serializers.SerializerMethodField()
    spent_so_far = serializers.SerializerMethodField()
    display = serializers.SerializerMethodField(help_text=_SHOWN)
    period_end = BandSerializer(
        source="total",
        allow_null=True,
        help_text="What the period comes to; null: the last forecast doesn't say.",
    )
    exhausted_on = ReachedSerializer(
        allow_null=True, help_text="When the limit is reached; null: the last forecast doesn't say."
    )

    @extend_schema_field(serializers.ChoiceField(PROVIDERS, allow_null=True))
    def get_provider(self, outlook: Any) -> str | None:
        return outlook.budget.provider or None

    @extend_schema_field(MoneyField())
    def get_limit(self, outlook: Any) -> dict[str, str]:
        return MoneyField().to_representation(Money(outlook.budget.limit))

    @extend_schema_field(MoneyField())
    def get_spent_so_far(self, outlook: Any) -> dict[str, str]:
        return MoneyField().to_representation(Money(outlook.spent))

    @extend_schema_field(DisplayedOutlookSerializer)
    def get_display(self, outlook: Any) -> dict[str, Any]:
        shown: AtOneRate = self.context["shown"]
        amounts = {"limit": shown.money(outlook.budget.limit), "spent_so_far": shown.money(outlook.spent)}
        return dict(DisplayedOutlookSerializer(amounts).data)


class BacktestSerializer(serializers.Serializer[Any]):
    """How forecasts of the past would have done."""

    measure = serializers.CharField()
    model = serializers.CharField(help_text="The best of the models.")
    model_error = serializers.FloatField(allow_null=True, help_text="A share: 0.07 is 7 %.")
    naive_error = serializers.FloatField(allow_null=True, help_text="The same of the last week repeated.")
    origins = serializers.IntegerField(help_text="At how many days of the past.")


class ForecastSerializer(Displayed):
    time_zone = serializers.CharField(help_text="Of the tenant's calendar.")
    month = MonthSerializer(source="*")
    spent_so_far = MoneyField(source="spent", help_text="In this month, up to the last call that has ended.")
    display = MoneyField(allow_null=True, help_text=f"Of what is spent so far. {_SHOWN}")
    month_end = BandSerializer(allow_null=True, help_text="What the month comes to; null: nothing is known.")
    method = serializers.ChoiceField([each.value for each in Method])
    reason = serializers.CharField(help_text="Why this method, or why nothing can be said.")
    observed_days = serializers.IntegerField(help_text="Whole days since the first spend.")
    backtest = BacktestSerializer(allow_null=True, help_text="Null: the history is too short for one.")
    made_at = serializers.DateTimeField(allow_null=True)
    age_s = serializers.IntegerField(allow_null=True, help_text="Seconds since it was made.")
    days = DayBandSerializer(many=True, help_text="Each day's cost, from the day it was made on.")
    totals = DayBandSerializer(
        many=True, help_text="What the month has come to by each of its days; those past are known."
    )
    budgets = BudgetOutlookSerializer(many=True, help_text="Active ones of a week or a month.")
