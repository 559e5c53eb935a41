"""Aggregates over generations and recommendations, of what the caller's transaction may see."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db.models import Aggregate, Count, DurationField, Sum

from apps.ai.models import Generation, GenerationState, Recommendation, Source, Status, TaskKind
from apps.ai.optimisation import totals
from apps.common.ids import first_id_of
from apps.common.money import Money


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the questions of some time; `p50`, `p95` are of those answered, `hits` of the cache."""

    by_state: dict[str, int]
    by_source: dict[str, int]
    p50: timedelta | None
    p95: timedelta | None

    @property
    def hit_ratio(self) -> float | None:
        """Answers from the cache, not stale ones, among all; None where there is none."""
        answered = sum(self.by_source.values())
        return self.by_source[Source.CACHE] / answered if answered else None


class _Percentiles(Aggregate):
    template = "percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = ArrayField(DurationField())


def figures(*, tenant_id: UUID, since: datetime) -> Figures:
    """Of a tenant's questions that were asked since then, which the index by id gives without a date's.

    Replays aside: nobody asked them, and they wait behind all others.
    """
    rows = Generation.objects.filter(tenant_id=tenant_id, pk__gte=first_id_of(since)).order_by()
    asked = rows.exclude(task_kind=TaskKind.REPLAY)
    by_state, by_source = Counter[str](), Counter[str]()
    for state, source, number in asked.values_list("state", "source").annotate(number=Count("*")):
        by_state[state] += number
        by_source[source] += number  # empty until it has succeeded
    answered = asked.filter(state=GenerationState.SUCCEEDED)
    p50, p95 = answered.aggregate(found=_Percentiles("latency"))["found"] or (None, None)
    return Figures(
        by_state={state: by_state[state] for state in GenerationState.values},
        by_source={source: by_source[source] for source in Source.values},
        p50=p50,
        p95=p95,
    )


@dataclass(frozen=True, slots=True)
class Savings:
    """What recommendations promise, and what those that are applied have kept of it."""

    expected_monthly_saving: Money
    measured_saving: Money
    predicted_saving: Money
    verification_cost: Money


def savings(*, tenant_id: UUID) -> Savings:
    """Over all of a tenant's recommendations, counting once what several are about (see totals.py)."""
    rows = Recommendation.objects.filter(tenant_id=tenant_id).order_by()
    open_ones = rows.filter(status__in=[Status.OPEN, Status.VERIFYING, Status.VERIFIED])
    applied = rows.filter(status=Status.APPLIED).values_list(
        "task_kind", "applied_at", "measured_saving", "predicted_saving"
    )
    measured, predicted = totals.measured(
        totals.Measured(task_kind, at, saved, promised or Decimal(0))
        for task_kind, at, saved, promised in applied
        if at is not None and saved is not None
    )
    expected = totals.expected(
        totals.Expected(*row) for row in open_ones.values_list("kind", "task_kind", "monthly_saving")
    )
    spent = rows.with_paid().aggregate(of_all=Sum("paid"))["of_all"]
    return Savings(
        expected_monthly_saving=Money(expected),
        measured_saving=Money(measured),
        predicted_saving=Money(predicted),
        verification_cost=Money(spent or Decimal(0)),
    )
