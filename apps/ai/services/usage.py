"""What a tenant has asked, as analysis and measurement read it, in the caller's transaction."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Case, Count, F, IntegerField, OuterRef, Q, Subquery, Sum, TextField, When
from django.db.models.functions import MD5, Cast, Coalesce

from apps.ai.matrix import Refusal
from apps.ai.models import Generation, GenerationQuerySet, GenerationState, Source, TaskKind
from apps.ai.optimisation.facts import MONTH, Asked, Facts, Lost, Offer, span_of
from apps.ai.optimisation.measurement import Calls
from apps.ai.services import configuration
from apps.ai.services.configuration import Configuration
from apps.ai.services.orchestrator import HYBRID
from apps.ai.services.preferences import ttls_of
from apps.common.ids import first_id_of
from apps.costs.models import LedgerEntry

WINDOW = MONTH
# Generations with attempts that came to nothing, whose words about them are read at a time.
_TRIED_AT_ONCE = 2_000

_ENDED = (GenerationState.SUCCEEDED, GenerationState.FAILED)
# What `explain` calls an attempt, although no provider was asked.
_UNASKED = frozenset(str(each) for each in Refusal if each != Refusal.UNUSABLE_ANSWER) | {"answered"}
_FIELDS = (
    "id",
    "created_at",
    "task_kind",
    "prompt_id",
    "max_tokens",
    "fresh",
    "state",
    "source",
    "joined_id",
    "deployment_id",
    "paid",
)
_TOKENS = ("input_tokens", "cached_tokens", "output_tokens")


def read_facts(*, tenant_id: UUID, now: datetime) -> Facts:
    """Of the last 30 days; of them no more than HUNTAZE_OPTIMISATION_GENERATIONS questions, the newest."""
    most = settings.OPTIMISATION_GENERATIONS
    asked = list(_asked(tenant_id, since=now - WINDOW, most=most + 1))
    is_sample = len(asked) > most
    asked = asked[:most][::-1]
    config = configuration.current()
    wishes = {kind: wish for (owner, kind), wish in config.tasks.items() if owner == tenant_id}
    return Facts(
        asked=asked,
        lost=list(_lost(tenant_id, first=asked[0])) if asked else [],
        offers=offers(config, tenant_id=tenant_id),
        ttls=ttls_of(wishes),
        preferred={kind: wish.first for kind, wish in wishes.items() if wish.first is not None},
        span=span_of(first=asked[0].at if asked else None, now=now, window=WINDOW),
        is_sample=is_sample,
    )


def offers(config: Configuration, *, tenant_id: UUID) -> Mapping[UUID, Offer]:
    """The deployments with their prices. A tenant without the hybrid orchestrator isn't moved to another."""
    hybrid = config.flags.is_enabled(HYBRID, tenant_id, default=True)
    return {
        each.id: Offer(
            id=each.id,
            name=each.name,
            provider=each.provider,
            model=each.model,
            model_class=each.model_class,
            rates=config.prices.get(each.id),
            able=hybrid and each.id not in config.exclusions and each.weight > 0,
            context_tokens=each.context_tokens,
        )
        for each in config.deployments
    }


def calls_of(*, task_kind: str, tenant_id: UUID, since: datetime, until: datetime) -> Calls:
    """The questions of a kind that have ended, from wherever, with their cost by the ledger as it is now."""
    rows = _ended_rows(tenant_id, since=since).filter(task_kind=task_kind, created_at__lt=until)
    paid = rows.with_paid().order_by()
    sums = paid.aggregate(number=Count("*"), cost=Coalesce(Sum("paid"), Decimal(0)))
    return Calls(sums["number"], sums["cost"])


def first_asked(*, tenant_id: UUID, since: datetime) -> datetime | None:
    """When the first question of any kind came that has ended by now: from there a span is reckoned."""
    rows = _ended_rows(tenant_id, since=since).order_by("id")
    return rows.values_list("created_at", flat=True).first()


def _ended_rows(tenant_id: UUID, *, since: datetime) -> GenerationQuerySet:
    """By id, which has an index, and not by date; replays are no questions of the tenant's own."""
    rows = Generation.objects.filter(tenant_id=tenant_id, pk__gte=first_id_of(since), state__in=_ENDED)
    return rows.exclude(task_kind=TaskKind.REPLAY).filter(created_at__gte=since)


def _asked(tenant_id: UUID, *, since: datetime, most: int) -> Iterator[Asked]:
    """The newest first. What makes two questions the same is compared by the database, and not read."""
    said = MD5(Cast("variables", TextField()))
    answers = {f"answer_{column}": _of_answer(column) for column in _TOKENS}
    rows = _ended_rows(tenant_id, since=since).with_paid().annotate(said=said, **answers).order_by("-id")
    for row in rows.values(*_FIELDS, "said", *answers)[:most]:
        yield Asked(
            id=row["id"],
            at=row["created_at"],
            task_kind=row["task_kind"],
            question=f"{row['prompt_id']}:{row['max_tokens']}:{row['said']}",
            fresh=row["fresh"],
            paid=row["source"] == Source.PROVIDER and row["joined_id"] is None,
            answered=row["state"] == GenerationState.SUCCEEDED and row["source"] != Source.TEMPLATE,
            deployment_id=row["deployment_id"],
            cost=row["paid"],
            **{column: row[f"answer_{column}"] for column in _TOKENS},
        )


def _of_answer(column: str) -> Coalesce:
    """Tokens of the last attempt, which brought the answer; the row has those of lost ones, too."""
    entries = LedgerEntry.objects.filter(
        occurred_at=OuterRef("created_at"), generation_id=OuterRef("pk"), attempt=OuterRef("attempts")
    ).values("generation_id")
    last = Case(When(attempts__gt=1, then=Subquery(entries.values(sum=Sum(column)))))
    return Coalesce(last, F(column), output_field=IntegerField())


def _lost(tenant_id: UUID, *, first: Asked) -> Iterator[Lost]:
    """The attempts that came to nothing, by what the generations say of them and the ledger of their cost.

    Of all questions from the first that was read on: shares are of what those came to.
    """
    tried = _ended_rows(tenant_id, since=first.at).filter(
        Q(attempts__gt=1) | Q(state=GenerationState.FAILED, attempts__gt=0), pk__gte=first.id
    )
    rows = tried.order_by("id").values_list("id", "created_at", "explain").iterator(_TRIED_AT_ONCE)
    while some := list(islice(rows, _TRIED_AT_ONCE)):
        yield from _lost_of(some)


def _lost_of(rows: Sequence[tuple[UUID, datetime, Any]]) -> Iterator[Lost]:
    paid = _paid(rows)
    for generation_id, _, explain in rows:
        for said in explain:
            if not isinstance(said, dict) or "attempt" not in said or said.get("outcome") in _UNASKED:
                continue
            cost, estimated = paid.get((generation_id, said["attempt"]), (Decimal(0), False))
            yield Lost(generation_id, str(said["deployment"]), str(said["outcome"]), cost, estimated)


def _paid(rows: Sequence[tuple[UUID, datetime, Any]]) -> Mapping[tuple[UUID, int], tuple[Decimal, bool]]:
    """What each attempt of these generations cost, corrections included, and whether that is an estimate."""
    entries = LedgerEntry.objects.filter(
        occurred_at__in=[made_at for _, made_at, _ in rows], generation_id__in=[each for each, _, _ in rows]
    )
    sums: dict[tuple[UUID, int], Decimal] = defaultdict(Decimal)
    estimated: dict[tuple[UUID, int], bool] = {}
    for each, attempt, amount, guess in entries.order_by("sequence").values_list(
        "generation_id", "attempt", "amount", "estimated"
    ):
        sums[each, attempt] += amount
        estimated[each, attempt] = guess  # a correction's is the last word
    return {key: (amount, estimated[key]) for key, amount in sums.items()}
