"""What the API says of recommendations, and takes for what is to be done about them."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.ai.models import (
    Analysis,
    AnalysisState,
    ItemState,
    Recommendation,
    RecommendationKind,
    Replay,
    ReplayItem,
    ReplayState,
    Status,
    TaskKind,
)
from apps.ai.optimisation.verdicts import LEAST
from apps.ai.services.replays import LEAST_ALIKE, LEAST_JUDGED, MOST_SAMPLE, SAMPLE, Wanted
from apps.common.api.fields import MoneyField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import LEDGER_CURRENCY, Money, plain


class Action(models.TextChoices):
    ANALYSE = "analyse"
    VERIFY = "verify"
    APPLY = "apply"
    REVERT = "revert"
    DISMISS = "dismiss"


_OF_VERIFY = ("sample", "max_cost", "judge", "threshold")


class OptimiseRequest(StrictSerializer):
    """`recommendation` with every action but `analyse`; the other fields with `verify` alone."""

    action = serializers.ChoiceField(Action.choices)
    recommendation = serializers.UUIDField(required=False)
    sample = serializers.IntegerField(
        min_value=LEAST,
        max_value=MOST_SAMPLE,
        required=False,
        help_text=f"How many past questions are asked again; {SAMPLE} unless it is said.",
    )
    max_cost = serializers.DecimalField(
        max_digits=20,
        decimal_places=10,
        min_value=Decimal(0),
        required=False,
        help_text="In the ledger's currency: what might cost more isn't begun. At most, "
        "and unless it is said, HUNTAZE_REPLAY_MAX_COST.",
    )
    judge = serializers.BooleanField(
        required=False, help_text="Whether an advanced model compares the answers; it does unless it is said."
    )
    threshold = serializers.DecimalField(
        max_digits=3,
        decimal_places=2,
        min_value=Decimal(0),
        max_value=Decimal(1),
        required=False,
        help_text=f"What the score's lower bound has to reach: at least {LEAST_JUDGED}, and {LEAST_ALIKE} "
        "without a judge. Below, it would say nothing of the answers.",
    )

    def validate_max_cost(self, given: Decimal) -> Decimal:
        if given > settings.REPLAY_MAX_COST:
            most = f"{plain(settings.REPLAY_MAX_COST)} {LEDGER_CURRENCY}"
            raise serializers.ValidationError(f"Give at most {most}: HUNTAZE_REPLAY_MAX_COST allows no more.")
        return given

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        action = attrs["action"]
        if action == Action.ANALYSE and "recommendation" in attrs:
            text = "Leave it out: an analysis is of everything."
            raise serializers.ValidationError({"recommendation": [text]})
        if action != Action.ANALYSE and "recommendation" not in attrs:
            raise serializers.ValidationError({"recommendation": [f"Say which one to {action}, by its id."]})
        if action != Action.VERIFY and (odd := [name for name in _OF_VERIFY if name in attrs]):
            raise serializers.ValidationError({odd[0]: ["This belongs to the action verify alone."]})
        least = LEAST_JUDGED if attrs.get("judge", True) else LEAST_ALIKE
        if attrs.get("threshold", least) < least:
            how = "with a judge" if attrs.get("judge", True) else "without a judge"
            text = f"Give at least {least} {how}: what reaches less says nothing of the answers."
            raise serializers.ValidationError({"threshold": [text]})
        return attrs

    @property
    def wanted(self) -> Wanted:
        """How a verification is to be done."""
        given = self.validated_data
        return Wanted(**{name: given[name] for name in _OF_VERIFY if name in given})


class AnalysisSerializer(serializers.Serializer[Analysis]):
    """A look at the last 30 days' questions."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(AnalysisState.choices)
    since = serializers.DateTimeField(allow_null=True, help_text="The first question that was looked at.")
    generations = serializers.IntegerField(help_text="Questions that were looked at.")
    is_sample = serializers.BooleanField(help_text="There were more, and only the newest were read.")
    found = serializers.IntegerField(help_text="Recommendations that hold.")
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()


class ApplicationSerializer(serializers.Serializer[Recommendation]):
    at = serializers.DateTimeField(source="applied_at")
    by = serializers.CharField(source="applied_by")
    before = serializers.DictField(help_text="What was set before it.")
    after = serializers.DictField(help_text="What it set.")
    reverted_at = serializers.DateTimeField(allow_null=True)


class MeasurementSerializer(serializers.Serializer[Recommendation]):
    """What it has saved since it was applied, for the calls that were really made."""

    at = serializers.DateTimeField(source="measured_at")
    calls = serializers.IntegerField(source="measured_calls")
    cost = serializers.SerializerMethodField()
    saving = serializers.SerializerMethodField(help_text="Null while there are too few calls.")
    predicted = serializers.SerializerMethodField(help_text="Of as many calls.")
    roi = serializers.FloatField(
        allow_null=True, help_text="Saving for each unit that verifying has cost; null where that is nothing."
    )

    @extend_schema_field(MoneyField())
    def get_cost(self, row: Recommendation) -> dict[str, str] | None:
        return _money(row.measured_cost, row.currency)

    @extend_schema_field(MoneyField(allow_null=True))
    def get_saving(self, row: Recommendation) -> dict[str, str] | None:
        return _money(row.measured_saving, row.currency)

    @extend_schema_field(MoneyField(allow_null=True))
    def get_predicted(self, row: Recommendation) -> dict[str, str] | None:
        return _money(row.predicted_saving, row.currency)


class RecommendationSerializer(serializers.Serializer[Recommendation]):
    """What might be changed, what that would save, and what has come of it."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(RecommendationKind.choices)
    subject = serializers.CharField()
    task = serializers.SerializerMethodField()
    status = serializers.ChoiceField(Status.choices)
    remark = serializers.CharField(help_text="Why its status is what it is.")
    advice = serializers.CharField()
    change = serializers.DictField(
        allow_null=True, help_text="What applying it sets for the task; null: it is for people to change."
    )
    monthly_saving = serializers.SerializerMethodField(
        help_text="Expected, in 30 days. Those for one task may be about the same money: see the totals."
    )
    confidence = serializers.FloatField(help_text="From 0 to 1.")
    reasons = serializers.ListField(child=serializers.CharField())
    analysed_at = serializers.DateTimeField()
    quiet_until = serializers.DateTimeField(
        allow_null=True, help_text="It is not recommended again before that."
    )
    verified_at = serializers.DateTimeField(allow_null=True)
    verification_cost = serializers.SerializerMethodField(help_text="Of all its replays, by the ledger.")
    application = serializers.SerializerMethodField()
    measurement = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(TaskKind.choices, allow_null=True))
    def get_task(self, row: Recommendation) -> str | None:
        return row.task_kind or None

    @extend_schema_field(MoneyField())
    def get_monthly_saving(self, row: Recommendation) -> dict[str, str] | None:
        return _money(row.monthly_saving, row.currency)

    @extend_schema_field(MoneyField())
    def get_verification_cost(self, row: Recommendation) -> dict[str, str] | None:
        return _money(row.cost_of_replays, row.currency)

    @extend_schema_field(ApplicationSerializer(allow_null=True))
    def get_application(self, row: Recommendation) -> Any:
        return ApplicationSerializer(row).data if row.applied_at else None

    @extend_schema_field(MeasurementSerializer(allow_null=True))
    def get_measurement(self, row: Recommendation) -> Any:
        return MeasurementSerializer(row).data if row.measured_at else None


class ReplayItemSerializer(serializers.Serializer[ReplayItem]):
    original = serializers.UUIDField(source="original_id", help_text="The generation that is asked again.")
    generation = serializers.UUIDField(source="generation_id", help_text="The one that asks it again.")
    judge = serializers.UUIDField(source="judge_id", allow_null=True)
    state = serializers.ChoiceField(ItemState.choices)
    scores = serializers.DictField(child=serializers.FloatField())
    score = serializers.FloatField(allow_null=True)
    original_cost = serializers.SerializerMethodField()
    cost = serializers.SerializerMethodField(help_text="Of asking again, and of judging.")
    error = serializers.CharField()

    @extend_schema_field(MoneyField())
    def get_original_cost(self, item: ReplayItem) -> dict[str, str] | None:
        return _money(item.original_cost, item.currency)

    @extend_schema_field(MoneyField())
    def get_cost(self, item: ReplayItem) -> dict[str, str] | None:
        return _money(item.cost, item.currency)


class ReplaySerializer(serializers.Serializer[Replay]):
    id = serializers.UUIDField()
    state = serializers.ChoiceField(ReplayState.choices)
    deployment = serializers.CharField(source="deployment.name")
    judged = serializers.BooleanField()
    threshold = serializers.FloatField()
    score = serializers.FloatField(allow_null=True)
    lower = serializers.FloatField(allow_null=True)
    upper = serializers.FloatField(allow_null=True)
    max_cost = serializers.SerializerMethodField()
    cost = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField()
    items = ReplayItemSerializer(many=True)

    @extend_schema_field(MoneyField())
    def get_max_cost(self, replay: Replay) -> dict[str, str] | None:
        return _money(replay.max_cost, replay.currency)

    @extend_schema_field(MoneyField())
    def get_cost(self, replay: Replay) -> dict[str, str] | None:
        return _money(replay.cost, replay.currency)


class RecommendationDetailSerializer(RecommendationSerializer):
    """With its evidence, and the replays that were made to verify it, the newest first."""

    evidence = serializers.DictField(help_text="The figures behind it, by kind.")
    replays = ReplaySerializer(many=True)


class TotalsSerializer(serializers.Serializer[Any]):
    """Of all recommendations, whatever the filters. They may be less than the sums of what is listed."""

    expected_monthly_saving = MoneyField(
        help_text="Of those that are open, being verified, or verified. Of such as are about the same "
        "questions, such as a cheaper model and a longer time in the cache, the best alone counts."
    )
    measured_saving = MoneyField(
        help_text="Of those that are applied, until they were last measured. Of several for one task, the "
        "first counts, since the others' savings are in its own."
    )
    predicted_saving = MoneyField(
        help_text="What was expected of these by then; of several for one task, the most."
    )
    verification_cost = MoneyField(help_text="Of all replays.")


class RecommendationPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = RecommendationSerializer(many=True)
    totals = TotalsSerializer()
    analysis = AnalysisSerializer(allow_null=True, help_text="The latest.")


def _money(amount: Decimal | None, currency: str) -> dict[str, str] | None:
    return None if amount is None else MoneyField().to_representation(Money(amount, currency))
