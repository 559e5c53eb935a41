"""Unit economics, as JSON, and what can be asked of them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.analytics.economics import Economics
from apps.analytics.queries import Order, Subject
from apps.common.api.fields import MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import Money
from apps.costs.display import AtOneRate
from apps.costs.serializers.reports import Displayed, days_asked

# What of the figures is money.
AMOUNTS = ("ai_cost", "cost_per_message", "revenue", "margin")
DEFAULT_LIMIT, MOST_ROWS = 100, 1000
LONGEST = timedelta(days=366)
_FURTHEST = 1_000_000
_NULL = "Null: unknown, since no revenue was told."


class EconomicsSerializer(serializers.Serializer[Economics]):
    """Of some days. What isn't known is null, never zero."""

    ai_cost = serializers.SerializerMethodField()
    messages_sent = serializers.IntegerField()
    cost_per_message = serializers.SerializerMethodField(help_text="Null: no message was sent.")
    revenue = serializers.SerializerMethodField(help_text=_NULL)
    margin = serializers.SerializerMethodField(help_text=f"Revenue without the AI's cost. {_NULL}")
    cost_share = serializers.SerializerMethodField(
        help_text=f"The AI's cost by revenue: 0.05 is 5 %. {_NULL} Null also where it isn't above zero."
    )

    @extend_schema_field(MoneyField())
    def get_ai_cost(self, figures: Economics) -> dict[str, str]:
        return MoneyField().to_representation(Money(figures.ai_cost))

    @extend_schema_field(MoneyField(allow_null=True))
    def get_cost_per_message(self, figures: Economics) -> dict[str, str] | None:
        return _money(figures.cost_per_message)

    @extend_schema_field(MoneyField(allow_null=True))
    def get_revenue(self, figures: Economics) -> dict[str, str] | None:
        return _money(figures.revenue)

    @extend_schema_field(MoneyField(allow_null=True))
    def get_margin(self, figures: Economics) -> dict[str, str] | None:
        return _money(figures.margin)

    def get_cost_share(self, figures: Economics) -> float | None:
        return None if figures.cost_share is None else float(figures.cost_share)


class DisplayedEconomicsSerializer(serializers.Serializer[Any]):
    ai_cost = MoneyField(allow_null=True)
    cost_per_message = MoneyField(allow_null=True)
    revenue = MoneyField(allow_null=True)
    margin = MoneyField(allow_null=True)


class ShownEconomicsSerializer(EconomicsSerializer):
    """Of some days, in dollars and in the tenant's currency. What isn't known is null, never zero."""

    display = serializers.SerializerMethodField(
        help_text="In the tenant's currency, at the rate of the range's last day; null without one "
        "(`display_missing`)."
    )

    @extend_schema_field(DisplayedEconomicsSerializer)
    def get_display(self, figures: Economics) -> dict[str, Any]:
        shown: AtOneRate = self.context["shown"]
        amounts = {name: shown.money(getattr(figures, name)) for name in AMOUNTS}
        return dict(DisplayedEconomicsSerializer(amounts).data)


def _money(value: Decimal | None) -> dict[str, str] | None:
    return None if value is None else MoneyField().to_representation(Money(value))


class EconomicsRowSerializer(ShownEconomicsSerializer):
    id = serializers.UUIDField()
    name = serializers.CharField(help_text="Of the account or campaign.")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        figures = ShownEconomicsSerializer(instance.figures, context=self.context)
        return {"id": str(instance.id), "name": instance.name, **figures.data}


class _Days(serializers.Serializer[Any]):
    """A range of days: `from`, which no attribute in Python may be called, `to`, and the rest."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateField(help_text="The first day, of the tenant's calendar."),
            "to": serializers.DateField(help_text="The last day."),
            **super().get_fields(),
        }


class EconomicsTableSerializer(_Days, Displayed):
    time_zone = serializers.CharField(help_text="Of the tenant's calendar.")
    by = serializers.ChoiceField(list(Subject))
    revenue_known = serializers.BooleanField(
        help_text="False: nobody has told any revenue of these days, so it is unknown, not zero."
    )
    rows = serializers.IntegerField(help_text="How many there are; `results` has `limit` from `offset` on.")
    total = ShownEconomicsSerializer(help_text="Of everything, what is unattributed included.")
    unattributed = ShownEconomicsSerializer(help_text="What is of no account, or no campaign.")
    results = EconomicsRowSerializer(many=True)


@extend_schema_field({"type": "string", "default": "-ai_cost"})
class OrderField(serializers.Field[tuple[Order, bool], str, str, Any]):
    """A column, and whether it descends."""

    default_error_messages = {"unknown": "Give one of: {names}; with a minus, the highest comes first."}

    def to_internal_value(self, data: str) -> tuple[Order, bool]:
        name = str(data).removeprefix("-")
        if name not in list(Order):
            self.fail("unknown", names=", ".join(Order))
        return Order(name), str(data).startswith("-")


class EconomicsQuery(_Days, StrictSerializer):
    by = serializers.ChoiceField(list(Subject), default=Subject.ACCOUNT)
    order = OrderField(
        required=False, help_text=f"One of {', '.join(Order)}; with a minus, the highest first."
    )
    limit = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_ROWS,
        help_text=f"{DEFAULT_LIMIT} by default; not of CSV.",
    )
    offset = serializers.IntegerField(
        default=0, min_value=0, max_value=_FURTHEST, help_text="How many of the first are left out."
    )
    format = serializers.ChoiceField(["json", "csv"], default="json")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name, text in (
            ("from", "The first day, of the tenant's calendar; the first of `to`'s month by default."),
            ("to", "The last day, today by default."),
        ):
            fields[name] = serializers.DateField(required=False, help_text=text)
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since, until = days_asked(attrs, today=self.context["today"])
        if until - since >= LONGEST:
            raise serializers.ValidationError({"from": f"A range may have {LONGEST.days} days at most."})
        attrs.setdefault("order", (Order.AI_COST, True))
        attrs["by"] = Subject(attrs["by"])
        return attrs
