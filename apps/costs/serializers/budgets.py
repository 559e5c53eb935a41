"""Budgets as JSON: what is asked for, and how each stands in its present period."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.common.fields import MONEY_PLACES
from apps.common.money import LEDGER_CURRENCY, Money
from apps.costs.display import AtOneRate
from apps.costs.models import (
    Budget,
    BudgetMode,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    scope_problems,
)
from apps.costs.price_list import PROVIDERS
from apps.costs.thresholds import HIGHEST, LOWEST, MOST, threshold_problem

_FIXED = ("scope", "scope_id", "provider", "period")
_SHOWN = "In the tenant's currency, at today's rate; null without one (`display_missing`)."
_PERCENTAGES = (
    f"Percentages of the limit at which to alert: whole ones from {LOWEST} to {HIGHEST}, {MOST} at most."
)


class AmountSerializer(StrictSerializer):
    amount = serializers.DecimalField(max_digits=20, decimal_places=MONEY_PLACES, min_value=Decimal(0))
    currency = serializers.ChoiceField(
        [LEDGER_CURRENCY],
        default=LEDGER_CURRENCY,
        error_messages={"invalid_choice": f"Budgets are in {LEDGER_CURRENCY}, like the ledger."},
    )


@extend_schema_field(
    {
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "amount": {"type": "string", "format": "decimal", "examples": ["50.00"]},
                    "currency": {"type": "string", "enum": [LEDGER_CURRENCY], "default": LEDGER_CURRENCY},
                },
                "required": ["amount"],
            },
            {"type": "string", "format": "decimal", "examples": ["50.00"]},
        ]
    }
)
class LimitField(serializers.Field[Decimal, Any, Any, Any]):
    """Money as answers have it; the amount alone will do."""

    def to_internal_value(self, data: Any) -> Decimal:
        body = AmountSerializer(data=data if isinstance(data, dict) else {"amount": data})
        if not body.is_valid():
            errors: Any = body.errors
            raise serializers.ValidationError(errors if isinstance(data, dict) else errors["amount"])
        amount: Decimal = body.validated_data["amount"]
        return amount


class ThresholdsField(serializers.ListField):
    child = serializers.IntegerField()

    def to_internal_value(self, data: Any) -> list[int]:
        percentages: list[int] = super().to_internal_value(data)
        if problem := threshold_problem(percentages):
            raise serializers.ValidationError(problem)
        return sorted(percentages)


class BudgetChanges(StrictSerializer):
    """What can be changed of a budget; what isn't given stays as it is."""

    limit = LimitField(required=False, help_text="An amount alone will do.")
    mode = serializers.ChoiceField(
        BudgetMode.choices,
        required=False,
        help_text="What becomes of a call that doesn't fit. stop: it is refused; shadow: it is made, and "
        "counted as one that would have been refused; watch: it is made.",
    )
    thresholds = ThresholdsField(required=False, help_text=_PERCENTAGES)
    is_active = serializers.BooleanField(required=False)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (fixed := [name for name in _FIXED if name in data]):
            text = "This is settled when a budget is made: switch this one off, and make another."
            raise serializers.ValidationError({name: [text] for name in fixed})
        return super().to_internal_value(data)


class BudgetRequest(StrictSerializer):
    """A budget to make. Fields from `mode` on have defaults."""

    scope = serializers.ChoiceField(BudgetScope.choices, default=BudgetScope.TENANT)
    scope_id = serializers.UUIDField(
        allow_null=True, default=None, help_text="The account, campaign or user; null for other scopes."
    )
    provider = serializers.ChoiceField(
        PROVIDERS, allow_null=True, default=None, help_text="For a provider's budget; null for other scopes."
    )
    period = serializers.ChoiceField(
        BudgetPeriod.choices,
        default=BudgetPeriod.MONTH,
        help_text="Of the tenant's calendar; weeks begin on Mondays.",
    )
    limit = LimitField(help_text="An amount alone will do.")
    mode = serializers.ChoiceField(BudgetMode.choices, default=BudgetMode.STOP)
    thresholds = ThresholdsField(default=default_thresholds, help_text=_PERCENTAGES)
    is_active = serializers.BooleanField(default=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["provider"] = attrs["provider"] or ""
        whom = {name: attrs[name] for name in ("scope", "scope_id", "provider")}
        if problems := scope_problems(**whom):
            raise serializers.ValidationError({name: [text] for name, text in problems.items()})
        return attrs


class ThresholdsRequest(StrictSerializer):
    budget = serializers.UUIDField(allow_null=True, help_text="Null: every budget that the tenant has.")
    thresholds = ThresholdsField(help_text=f"{_PERCENTAGES} None: no alerts at percentages.")


class ThresholdsSerializer(serializers.Serializer[Any]):
    budgets = serializers.IntegerField(help_text="How many have them now.")
    thresholds = serializers.ListField(child=serializers.IntegerField(), help_text="In order.")


class ShadowSerializer(serializers.Serializer[Any]):
    calls = serializers.IntegerField(help_text="Made in shadow mode though they didn't fit.")
    amount = MoneyField(help_text="What they could have cost at most.")
    display = MoneyField(allow_null=True, help_text=_SHOWN)


class DisplayedStandingSerializer(serializers.Serializer[Any]):
    spent = MoneyField(allow_null=True)
    held = MoneyField(allow_null=True)
    remaining = MoneyField(allow_null=True)


class StandingSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="When the period begins by the tenant's calendar.")
    end = serializers.DateTimeField(help_text="When the next one does.")
    spent = MoneyField()
    held = MoneyField(help_text="For calls in flight: the most that they can cost.")
    remaining = MoneyField(help_text="What may still be held.")
    display = DisplayedStandingSerializer(help_text=_SHOWN)
    percent = serializers.DecimalField(
        max_digits=None,
        decimal_places=1,
        coerce_to_string=False,
        allow_null=True,
        help_text="Of the limit, what is spent, rounded down; null for a limit of nothing.",
    )
    exhausted = serializers.BooleanField(help_text="Nothing is left, whatever the calls in flight cost.")
    shadow = ShadowSerializer()


class BudgetSerializer(serializers.Serializer[Budget]):
    id = serializers.UUIDField()
    scope = serializers.ChoiceField(BudgetScope.choices)
    scope_id = serializers.UUIDField(allow_null=True)
    provider = serializers.SerializerMethodField()
    period = serializers.ChoiceField(BudgetPeriod.choices)
    limit = serializers.SerializerMethodField()
    display = serializers.SerializerMethodField(help_text=f"Of the limit. {_SHOWN}")
    mode = serializers.ChoiceField(BudgetMode.choices)
    thresholds = serializers.ListField(child=serializers.IntegerField())
    is_active = serializers.BooleanField()
    current = serializers.SerializerMethodField()
    display_currency = serializers.SerializerMethodField()
    display_missing = serializers.SerializerMethodField(
        help_text="Why amounts aren't shown in it; null if they are."
    )
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(PROVIDERS, allow_null=True))
    def get_provider(self, budget: Budget) -> str | None:
        return budget.provider or None

    @extend_schema_field(MoneyField())
    def get_limit(self, budget: Budget) -> dict[str, str]:
        return _money(budget.limit)

    @extend_schema_field(MoneyField(allow_null=True))
    def get_display(self, budget: Budget) -> dict[str, str] | None:
        shown = self._shown.money(budget.limit)
        return MoneyField().to_representation(shown) if shown else None

    @extend_schema_field(StandingSerializer)
    def get_current(self, budget: Budget) -> dict[str, Any]:
        """The period of now. While a budget is switched off, its figures stay as they were."""
        standing, shown = budget.standing(at=self.context["now"]), self._shown.money
        shadow = {
            "calls": standing.shadow_calls,
            "amount": Money(standing.shadow_amount),
            "display": shown(standing.shadow_amount),
        }
        amounts = {name: getattr(standing, name) for name in ("spent", "held", "remaining")}
        return dict(
            StandingSerializer(
                {
                    "start": standing.start,
                    "end": standing.end,
                    **{name: Money(amount) for name, amount in amounts.items()},
                    "display": {name: shown(amount) for name, amount in amounts.items()},
                    "percent": standing.percent,
                    "exhausted": standing.exhausted,
                    "shadow": shadow,
                }
            ).data
        )

    @property
    def _shown(self) -> AtOneRate:
        shown: AtOneRate = self.context["shown"]
        return shown

    def get_display_currency(self, budget: Budget) -> str:
        return self._shown.currency

    def get_display_missing(self, budget: Budget) -> str | None:
        return self._shown.missing


def _money(amount: Decimal) -> dict[str, str]:
    return MoneyField().to_representation(Money(amount))
