"""What has been spent, as JSON, and what can be asked of it."""

from datetime import date, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.common.api.fields import MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.costs.price_list import PROVIDERS
from apps.costs.rollup_reading import OF_CALLS, Dimension
from apps.costs.rollup_tables import SUMS
from apps.costs.task_kinds import task_kinds

DEFAULT_LIMIT, MOST_GROUPS = 100, 1000
# So many days at most, by the finest dimension that is asked for.
LONGEST = {Dimension.HOUR: 31, Dimension.DAY: 366}
LONGEST_OF_ALL = 3660
_EARLIEST, _LATEST = date(2000, 1, 1), date(2100, 12, 31)
_BY_SUM = {**{name: name for name in SUMS if name != "amount"}, "cost": "amount"}
_BY_DIMENSION = {each.value: each.column for each in Dimension}


class SumsSerializer(serializers.Serializer[Any]):
    attempts = serializers.IntegerField(help_text="Calls of providers, those included that failed but cost.")
    estimated = serializers.IntegerField(help_text="Of these, those entered at their bound: usage unknown.")
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Of the input tokens, those read from a cache.")
    output_tokens = serializers.IntegerField()
    cost = MoneyField()


class CostsSerializer(SumsSerializer):
    display = MoneyField(
        allow_null=True,
        help_text="The cost in the tenant's currency; null where a rate is missing (`display_missing`).",
    )

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        # `Display.sums` writes them as they are shown: of many rows, fields would take longer than all else.
        return instance


class ProviderCostsSerializer(CostsSerializer):
    provider = serializers.CharField()


class _Days(serializers.Serializer[Any]):
    """A range of days: `from`, which no attribute in Python may be called, `to`, and the rest."""

    def get_fields(self) -> dict[str, Any]:
        return {
            "from": serializers.DateField(help_text="The first day, of the tenant's calendar."),
            "to": serializers.DateField(help_text="The last day."),
            **super().get_fields(),
        }


class Displayed(serializers.Serializer[Any]):
    display_currency = serializers.CharField(help_text="The tenant's, in which amounts are shown too.")
    display_missing = serializers.CharField(
        allow_null=True, help_text="Why some or all amounts aren't shown in it; null if all are."
    )


class PeriodSerializer(_Days):
    total = CostsSerializer()
    by_provider = ProviderCostsSerializer(many=True, help_text="The dearest first.")


class CostStatsSerializer(Displayed):
    time_zone = serializers.CharField(help_text="Of the tenant's calendar.")
    today = PeriodSerializer()
    this_week = PeriodSerializer(help_text="From Monday.")
    this_month = PeriodSerializer()
    previous_month = PeriodSerializer()


class GroupSerializer(CostsSerializer):
    """The dimensions that were asked for, and the sums. Null: for no account, campaign or user."""

    hour = serializers.DateTimeField(required=False, help_text="When it begins.")
    day = serializers.DateField(required=False)
    month = serializers.DateField(required=False, help_text="Its first day.")
    provider = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    task_kind = serializers.CharField(required=False)
    account = serializers.UUIDField(required=False, allow_null=True)
    campaign = serializers.UUIDField(required=False, allow_null=True)
    user = serializers.UUIDField(required=False, allow_null=True)


class BreakdownSerializer(_Days, Displayed):
    time_zone = serializers.CharField(help_text="Of the tenant's calendar.")
    by = serializers.ListField(child=serializers.CharField())
    groups = serializers.IntegerField(
        help_text="How many there are; `results` has the first `limit` of them."
    )
    total = CostsSerializer(help_text="Of all of them.")
    results = GroupSerializer(many=True)


@extend_schema_field({"type": "string", "default": "provider,model"})
class DimensionsField(serializers.Field[tuple[Dimension, ...], str, str, Any]):
    """One dimension or two, with a comma between them."""

    default_error_messages = {
        "unknown": "Give one or two different ones of: {names}, with a comma between them.",
    }

    def to_internal_value(self, data: str) -> tuple[Dimension, ...]:
        try:
            found = tuple(Dimension(word.strip()) for word in str(data).split(","))
        except ValueError:
            found = ()
        if len(found) not in (1, 2) or len(set(found)) < len(found):
            self.fail("unknown", names=", ".join(Dimension))
        return found


@extend_schema_field({"type": "string"})
class OrderField(serializers.Field[tuple[str, bool], str, str, Any]):
    """A column, and whether it descends."""

    default_error_messages = {
        "unknown": "Give a dimension of `by` or one of: {names}; with a minus, the highest comes first.",
    }

    def to_internal_value(self, data: str) -> tuple[str, bool]:
        name = str(data).removeprefix("-")
        if name not in _BY_SUM and name not in _BY_DIMENSION:
            self.fail("unknown", names=", ".join(_BY_SUM))
        return name, str(data).startswith("-")


class BreakdownQuery(_Days, StrictSerializer):
    by = DimensionsField(required=False, help_text=f"One or two of: {', '.join(Dimension)}.")
    order = OrderField(
        required=False,
        help_text="A dimension of `by` or a sum; with a minus, the highest comes first. By default by time, "
        "or where there is none, the dearest first.",
    )
    limit = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_GROUPS,
        help_text=f"{DEFAULT_LIMIT} by default; not of CSV.",
    )
    format = serializers.ChoiceField(["json", "csv"], default="json")
    provider = serializers.ChoiceField(PROVIDERS, required=False, help_text="Only calls of this provider.")
    model = serializers.CharField(required=False, max_length=100, help_text="Only calls of this model.")
    account = serializers.UUIDField(required=False, help_text="Only what was asked for this account.")
    campaign = serializers.UUIDField(required=False, help_text="Only what was asked for this campaign.")
    user = serializers.UUIDField(required=False, help_text="Only what was asked for this user.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name, text in (
            ("from", "The first day, of the tenant's calendar; the first of `to`'s month by default."),
            ("to", "The last day, today by default."),
        ):
            fields[name] = serializers.DateField(required=False, help_text=text)
        fields["task_kind"] = serializers.ChoiceField(
            task_kinds(), required=False, help_text="Only questions of this kind."
        )
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        since, until = days_asked(attrs, today=self.context["today"])
        by = attrs.setdefault("by", (Dimension.PROVIDER, Dimension.MODEL))
        longest = min(LONGEST.get(each, LONGEST_OF_ALL) for each in by)
        if until - since >= timedelta(days=longest):
            text = f"By {', '.join(by)} a range may have {longest} days at most."
            raise serializers.ValidationError({"from": text})
        name, descending = attrs.get("order", _default_order(by))
        if name not in _BY_SUM and name not in by:
            raise serializers.ValidationError({"order": f"{name} isn't among what is asked for with `by`."})
        attrs["order"] = [({**_BY_SUM, **_BY_DIMENSION}[name], descending)]
        attrs["only"] = {each: attrs[each] for each in OF_CALLS if each in attrs}
        return attrs


def days_asked(attrs: dict[str, Any], *, today: date) -> tuple[date, date]:
    """`from` and `to`, with their defaults where they aren't given. Raises ValidationError."""
    is_open = "to" not in attrs
    until = attrs.setdefault("to", today)
    since = attrs.setdefault("from", until.replace(day=1))
    for name, day in (("from", since), ("to", until)):
        if not _EARLIEST <= day <= _LATEST:
            raise serializers.ValidationError({name: f"Give a day from {_EARLIEST} to {_LATEST}."})
    if since > until and is_open:
        text = f"This is after today, {until}, which is the last day by default. Give `to` as well."
        raise serializers.ValidationError({"from": text})
    if since > until:
        raise serializers.ValidationError({"to": "The range ends before it begins."})
    return since, until


def _default_order(by: tuple[Dimension, ...]) -> tuple[str, bool]:
    timely = [each for each in by if each in (Dimension.HOUR, Dimension.DAY, Dimension.MONTH)]
    return (timely[0].value, False) if timely else ("cost", True)
