"""Where our prices differ from what the list says, and taking its rates over from a later instant on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection

from apps.common.errors import InvalidInputError
from apps.costs.models import Price
from apps.costs.price_list import (
    PROVIDERS,
    RATES,
    ListPrice,
    UnusableError,
    listed_price,
    listed_prices,
)

# The list has batch rates for few models; that it has none says nothing about ours.
_BATCH_RATES = tuple(rate for rate in RATES if rate.startswith("batch_"))


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one rate, in US dollars per million tokens."""

    rate: str
    ours: Decimal | None
    theirs: Decimal | None

    @property
    def percent(self) -> Decimal | None:
        """By how much theirs is more than ours; None where there is nothing to compare."""
        if not self.ours or self.theirs is None:
            return None
        return (self.theirs - self.ours) / self.ours * 100


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A model whose price the list has otherwise, or that has no price of ours yet."""

    provider: str
    model: str
    ours: Price | None
    theirs: ListPrice
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes, why other models of the list can't be priced by it, and which of ours it doesn't know."""

    changes: list[PriceChange]
    unusable: dict[tuple[str, str], str]
    unlisted: list[tuple[str, str]]


def compare_prices(
    *, at: datetime, providers: Sequence[str] = PROVIDERS, models: Sequence[str] = ()
) -> Comparison:
    """Our prices that will be in force at an instant beside the list's of then; of some models, or of all.

    Raises InvalidInputError for a name that neither we nor the list know.
    """
    ours = {(each.provider, each.model): each for each in Price.objects.all_in_force(at=at)}
    listed: dict[tuple[str, str], ListPrice] = {}
    unusable: dict[tuple[str, str], str] = {}
    for provider in providers:
        prices, problems = listed_prices(provider=provider, at=at)
        listed |= {(provider, model): price for model, price in prices.items()}
        unusable |= {(provider, model): problem for model, problem in problems.items()}
    for provider, model in set(ours) - set(listed) - set(unusable):
        _add_by_alias(provider, model, at=at, listed=listed, unusable=unusable)
    _refuse_unknown(models, known={model for _, model in (*ours, *listed, *unusable)})

    def asked(key: tuple[str, str]) -> bool:
        return key[0] in providers and (not models or key[1] in models)

    changes = [_change(key, ours.get(key), listed[key]) for key in sorted(listed) if asked(key)]
    return Comparison(
        changes=[each for each in changes if each.differences],
        unusable={key: unusable[key] for key in sorted(unusable) if asked(key)},
        unlisted=sorted(key for key in ours if asked(key) and key not in listed and key not in unusable),
    )


def check_start(starts_at: datetime, *, now: datetime) -> None:
    """Raises InvalidInputError for an instant that has passed: no price of ours begins then any more."""
    if starts_at < now:
        raise InvalidInputError(
            f"{starts_at.isoformat()} has passed, and a price can't change what has been billed: "
            "give an instant to come."
        )


def import_prices(*, changes: Sequence[PriceChange], starts_at: datetime, now: datetime) -> int:
    """Enter the list's rates as prices of ours from an instant on. Returns how many were entered.

    What has a price from that very instant stays as it is. Raises InvalidInputError for one that has passed.
    """
    check_start(starts_at, now=now)
    with connection.cursor() as cursor:
        # Another import would otherwise count the same rows as its own.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('costs_price import'))")
    taken = set(Price.objects.filter(starts_at=starts_at).values_list("provider", "model"))
    prices = [_price(each, starts_at) for each in changes if (each.provider, each.model) not in taken]
    return len(Price.objects.bulk_create(prices))


def _add_by_alias(
    provider: str,
    model: str,
    *,
    at: datetime,
    listed: dict[tuple[str, str], ListPrice],
    unusable: dict[tuple[str, str], str],
) -> None:
    """What the list says of a dated or fine-tuned model that we have a price of."""
    if provider not in PROVIDERS:
        return
    try:
        price = listed_price(provider=provider, model=model, at=at)
    except UnusableError as problem:
        unusable[provider, model] = str(problem)
    else:
        if price is not None:
            listed[provider, model] = price


def _refuse_unknown(models: Sequence[str], *, known: set[str]) -> None:
    unknown = sorted(set(models) - known)
    if unknown:
        raise InvalidInputError(
            f"Neither our prices nor the list have {', '.join(unknown)}: give a model's own name."
        )


def _change(key: tuple[str, str], ours: Price | None, theirs: ListPrice) -> PriceChange:
    provider, model = key
    pairs = [(rate, getattr(ours, rate, None), getattr(theirs, rate)) for rate in RATES]
    differences = tuple(
        Difference(rate, mine, its)
        for rate, mine, its in pairs
        if mine != its and not (its is None and rate in _BATCH_RATES)
    )
    return PriceChange(provider, model, ours, theirs, differences)


def _price(change: PriceChange, starts_at: datetime) -> Price:
    rates = {rate: getattr(change.theirs, rate) for rate in RATES}
    if change.ours is not None and change.theirs.batch_input_per_million is None:
        rates |= {rate: getattr(change.ours, rate) for rate in _BATCH_RATES}
    return Price(
        provider=change.provider,
        model=change.model,
        kind=change.theirs.kind,
        starts_at=starts_at,
        note=change.theirs.note,
        **rates,
    )
