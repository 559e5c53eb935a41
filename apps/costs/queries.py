"""Sums over the ledger. Each runs in the caller's transaction and sees what that may see."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from apps.common.money import Money
from apps.costs.models import LedgerEntry


@dataclass(frozen=True, slots=True)
class Costs:
    """What some attempts came to; `estimated` of them at their bound, their usage being unknown."""

    attempts: int
    estimated: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class ModelCosts:
    provider: str
    model: str
    currency: str
    costs: Costs


_SUMS = {
    "attempts": Count("pk", filter=Q(sequence=0)),
    # A correction of an estimate ends it.
    "estimated": Count("pk", filter=Q(estimated=True)) - Count("pk", filter=Q(sequence=1)),
    "input_tokens": Sum("input_tokens", default=0),
    "cached_tokens": Sum("cached_tokens", default=0),
    "output_tokens": Sum("output_tokens", default=0),
    "amount": Sum("amount", default=Decimal(0)),
}


def generation_cost(*, generation_id: UUID, occurred_at: datetime) -> Costs:
    """Of all attempts of a generation, which was created at `occurred_at`."""
    return _sum(LedgerEntry.objects.filter(occurred_at=occurred_at, generation_id=generation_id))


def campaign_cost(*, campaign_id: UUID) -> Costs:
    """Of everything that was generated for a campaign, as far as it is settled."""
    return _sum(LedgerEntry.objects.filter(campaign_id=campaign_id))


def tenant_cost(*, tenant_id: UUID, since: datetime) -> Money:
    """Of everything that a tenant's questions have cost since an instant, as far as it is settled."""
    entries = LedgerEntry.objects.filter(tenant_id=tenant_id, occurred_at__gte=since)
    return Money(_sum(entries).amount)


def campaign_costs_by_model(*, campaign_id: UUID) -> list[ModelCosts]:
    """The same, by provider and model, the dearest first."""
    rows: Iterable[Mapping[str, Any]] = (
        LedgerEntry.objects.filter(campaign_id=campaign_id)
        .values("provider", "model", "currency")
        .annotate(**_SUMS)
        .order_by("-amount", "provider", "model")
    )
    return [
        ModelCosts(
            provider=row["provider"],
            model=row["model"],
            currency=row["currency"],
            costs=Costs(**{name: row[name] for name in _SUMS}),
        )
        for row in rows
    ]


def _sum(entries: QuerySet[LedgerEntry]) -> Costs:
    return Costs(**entries.aggregate(**_SUMS))


def cost_by_campaign(campaign_ids: Iterable[UUID]) -> dict[UUID, Money]:
    """What each campaign has cost so far, zero included, for a list that shows many."""
    ids = list(campaign_ids)
    rows = (
        LedgerEntry.objects.filter(campaign_id__in=ids).values("campaign_id").annotate(amount=Sum("amount"))
    )
    amounts = {row["campaign_id"]: row["amount"] for row in rows}
    return {each: Money(amounts.get(each, Decimal(0))) for each in ids}
