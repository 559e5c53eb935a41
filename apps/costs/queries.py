"""Sums over the ledger. Each runs in the caller's transaction and sees what that may see."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.common.money import LEDGER_CURRENCY, Money
from apps.costs.currencies import Conversion
from apps.costs.periods import period_start
from apps.costs.rollup_reading import Dimension, of_campaigns, of_range, of_spans, ranked, summed
from apps.costs.rollup_tables import SUMS


@dataclass(frozen=True, slots=True)
class Costs:
    """What some attempts came to; `estimated` of them at their bound, their usage being unknown."""

    attempts: int = 0
    estimated: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    amount: Decimal = Decimal(0)
    # In the currency of a conversion that was asked for; None where a rate is missing.
    converted: Decimal | None = Decimal(0)

    @property
    def cost(self) -> Money:
        return Money(self.amount)

    def __add__(self, other: "Costs") -> "Costs":
        both = None
        if self.converted is not None and other.converted is not None:
            both = self.converted + other.converted
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        return Costs(**sums, converted=both)


@dataclass(frozen=True, slots=True)
class ModelCosts:
    provider: str
    model: str
    currency: str
    costs: Costs


@dataclass(frozen=True, slots=True)
class Period:
    """Days of a tenant's calendar, ends included, with what they cost by provider, the dearest first."""

    since: date
    until: date
    by_provider: dict[str, Costs]

    @property
    def costs(self) -> Costs:
        return sum(self.by_provider.values(), Costs())


@dataclass(frozen=True, slots=True)
class Group:
    """What has the same values in the dimensions asked for, in their order."""

    values: tuple[Any, ...]
    costs: Costs


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The first groups, of how many, and what all of them come to."""

    groups: list[Group]
    number: int
    total: Costs


def campaign_cost(*, campaign_id: UUID) -> Costs:
    """Of everything that was generated for a campaign, as far as it is settled."""
    return sum((each.costs for each in campaign_costs_by_model(campaign_id=campaign_id)), Costs())


def campaign_costs_by_model(*, campaign_id: UUID) -> list[ModelCosts]:
    """The same, by provider and model, the dearest first."""
    by = (Dimension.PROVIDER, Dimension.MODEL)
    found = [
        ModelCosts(provider=provider, model=model, currency=LEDGER_CURRENCY, costs=_costs(sums))
        for provider, model, *sums in summed(of_campaigns([campaign_id], by=by), *by)
    ]
    return sorted(found, key=lambda each: (-each.costs.amount, each.provider, each.model))


def cost_by_campaign(campaign_ids: Iterable[UUID]) -> dict[UUID, Money]:
    """What each campaign has cost so far, zero included, for a list that shows many."""
    ids = list(campaign_ids)
    if not ids:
        return {}
    source = of_campaigns(ids, by=[Dimension.CAMPAIGN])
    amounts = {campaign: _costs(sums).amount for campaign, *sums in summed(source, Dimension.CAMPAIGN.column)}
    return {each: Money(amounts.get(each, Decimal(0))) for each in ids}


def cost_of_month(*, tenant_id: UUID, time_zone: str, now: datetime) -> Money:
    """Of everything that a tenant's questions have cost this month, by its calendar, as far as settled."""
    since = period_start("month", at=now, time_zone=time_zone)
    (sums,) = summed(of_range(tenant_id, since, _end("month", since), by=()))
    return Money(_costs(sums).amount)


def spans_of_stats(*, time_zone: str, now: datetime) -> dict[str, tuple[date, date]]:
    """Today, this week (from Monday), this month and the month before, to their last days."""
    starts = {each: period_start(each, at=now, time_zone=time_zone) for each in ("day", "week", "month")}
    before = (starts["month"] - timedelta(days=1)).replace(day=1)
    return {
        "today": (starts["day"], starts["day"]),
        "this_week": (starts["week"], _end("week", starts["week"])),
        "this_month": (starts["month"], _end("month", starts["month"])),
        "previous_month": (before, _end("month", before)),
    }


def stats(
    *, tenant_id: UUID, time_zone: str, now: datetime, conversion: Conversion | None = None
) -> dict[str, Period]:
    """What those periods cost, by the tenant's calendar."""
    spans = spans_of_stats(time_zone=time_zone, now=now)
    source = of_spans(tenant_id, spans, by=[Dimension.PROVIDER], conversion=conversion)
    found: dict[str, dict[str, Costs]] = {name: {} for name in spans}
    for name, provider, *sums in summed(source, "span", Dimension.PROVIDER.column):
        found[name][provider] = _costs(sums)
    return {
        name: Period(*span, dict(sorted(found[name].items(), key=lambda each: (-each[1].amount, each[0]))))
        for name, span in spans.items()
    }


def breakdown(
    *,
    tenant_id: UUID,
    since: date,
    until: date,
    by: Sequence[Dimension],
    order: Sequence[tuple[str, bool]],
    limit: int,
    only: Mapping[Dimension, Any] | None = None,
    conversion: Conversion | None = None,
) -> Breakdown:
    """What some days cost by one or more dimensions, in an order of columns (True: descending).

    `only` has the values that calls must have in other dimensions, or the same, to be counted.
    """
    source = of_range(tenant_id, since, until, by=by, only=only, conversion=conversion)
    rows = ranked(source, by=by, order=order, limit=limit)
    if not rows:
        return Breakdown([], 0, Costs())
    width = len(by)
    end = width + len(SUMS) + source.converts
    # What is of all groups is the same in each row.
    number, *of_all = rows[0][end:]
    return Breakdown([Group(row[:width], _costs(row[width:end])) for row in rows], number, _costs(of_all))


def _end(period: str, start: date) -> date:
    if period == "week":
        return start + timedelta(days=6)
    return (start + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _costs(sums: Sequence[Any]) -> Costs:
    """In the order of SUMS, as Costs has them; a converted one may come last.

    Without a row sums are null, and PostgreSQL's of bigints are decimals.
    """
    *counted, amount = sums[: len(SUMS)]
    values: list[Any] = [int(value or 0) for value in counted]
    values += [amount or Decimal(0), *sums[len(SUMS) :]]
    return Costs(*values)
