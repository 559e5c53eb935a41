"""What models cost by the list of the package genai-prices: data that it carries along, never fetched here.

Prices are rows; this is what the first ones are made of, and what they are compared with later.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice, Provider

PROVIDERS = ("openai", "azure")
# A seeded price begins here, long before the first call: whatever is asked about since then finds one.
AS_OF = datetime(2024, 10, 2, tzinfo=UTC)
SOURCE = "genai-prices"
# US dollars per million tokens; beyond it, a rate was surely given for a thousand tokens or in another unit.
HIGHEST_RATE = Decimal(10_000)
RATES = (
    "input_per_million",
    "cached_input_per_million",
    "output_per_million",
    "batch_input_per_million",
    "batch_cached_input_per_million",
    "batch_output_per_million",
)

_PLACES = 10
# Fees for searches are for tools that nobody here offers a model.
_TEXT_UNITS = {
    "input_mtok",
    "cache_read_mtok",
    "output_mtok",
    "web_searches_kcount",
    "storage_searches_kcount",
}
_BATCH = {"processing": "batch"}
# No patterns for fine-tuned models ("ft:gpt-4o"), and no variants of other sellers (":free").
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*[a-z0-9]")


@dataclass(frozen=True, slots=True)
class ListPrice:
    """US dollars per million tokens. Without batch rates the list knows of none."""

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None
    batch_input_per_million: Decimal | None = None
    batch_cached_input_per_million: Decimal | None = None
    batch_output_per_million: Decimal | None = None
    kind: str = "text"
    note: str = ""


class UnusableError(ValueError):
    """The list prices a model in a way that the ledger can't account for."""


@cache
def source() -> str:
    """The list by name and version, for a price's note."""
    return f"{SOURCE} {version('genai-prices')}"


def listed_price(*, provider: str, model: str, at: datetime) -> ListPrice | None:
    """What the list says that a model costs at an instant; None if it doesn't know the model.

    A name is known if the list has it or an alias of it; of fine-tuned models it knows the beginning. Raises
    UnusableError.
    """
    found = _find(provider, model)
    if found is None:
        return None
    return _price(model, found, at=at, own=any(found is each for each in _provider(provider).models))


def listed_prices(*, provider: str, at: datetime) -> tuple[dict[str, ListPrice], dict[str, str]]:
    """All that a provider sells by tokens of text, by the models' own names; and why others aren't in it."""
    usable, unusable = {}, {}
    for model in _names(provider):
        try:
            price = listed_price(provider=provider, model=model, at=at)
        except UnusableError as problem:
            unusable[model] = str(problem)
        else:
            assert price is not None  # it is the list's own name
            usable[model] = price
    return usable, unusable


def _names(provider: str) -> list[str]:
    return sorted({each.id for each in _sold(provider) if _PLAIN_NAME.fullmatch(each.id)})


def _provider(name: str) -> "Provider":
    # Its tables take a quarter of a second: only the commands that need them should.
    from genai_prices.data import providers

    return next(each for each in providers if each.id == name)


def _find(provider: str, model: str) -> "ModelInfo | None":
    if model.startswith("ft:"):
        return next((each for each in _sold(provider) if each.is_match(model)), None)
    return _by_name(provider).get(model)


@cache
def _by_name(provider: str) -> dict[str, "ModelInfo"]:
    """By all names that the list has for them; of two models with one name, the provider's own."""
    found: dict[str, ModelInfo] = {}
    for each in _sold(provider):
        for name in (each.id, *_aliases(each.match)):
            found.setdefault(name, each)
    return found


def _sold(provider: str) -> "list[ModelInfo]":
    """The provider's own models first; Azure sells OpenAI's too."""
    sellers = [provider, *(_provider(provider).fallback_model_providers or ())]
    return [model for each in sellers if each in PROVIDERS for model in _provider(each).models]


def _aliases(match: "MatchLogic") -> Iterator[str]:
    from genai_prices.types import ClauseEquals, ClauseOr

    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for each in match.or_:
            yield from _aliases(each)


def _price(name: str, model: "ModelInfo", *, at: datetime, own: bool) -> ListPrice:
    rates, first_tier = _rates(model.get_prices(at))
    embeds = "embedding" in name
    if "input_mtok" not in rates or ("output_mtok" not in rates and not embeds):
        raise UnusableError("it isn't sold by tokens of text")
    # Another seller's discounts aren't this one's.
    batch = _rates(model.get_prices(at, _BATCH))[0] if own and _has_batch(model, at) else {}
    return ListPrice(
        input_per_million=rates["input_mtok"],
        cached_input_per_million=rates.get("cache_read_mtok"),
        output_per_million=Decimal(0) if embeds else rates["output_mtok"],
        batch_input_per_million=batch.get("input_mtok"),
        batch_cached_input_per_million=batch.get("cache_read_mtok"),
        batch_output_per_million=Decimal(0) if embeds and batch else batch.get("output_mtok"),
        kind="embedding" if embeds else "text",
        note=f"{source()}{f', up to {first_tier:,} input tokens' if first_tier else ''}",
    )


def _has_batch(model: "ModelInfo", at: datetime) -> bool:
    return any(
        variant.when == _BATCH and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def _rates(prices: "ModelPrice") -> tuple[Mapping[str, Decimal], int]:
    """The rates of the lowest tier by the list's names for them, and where the next begins (0: nowhere)."""
    from genai_prices.types import TieredPrices

    found, next_tier = {}, 0
    for unit, value in vars(prices).items():
        if value is None:
            continue
        if unit not in _TEXT_UNITS:
            raise UnusableError(f"it is also sold by {unit}, which the ledger doesn't count")
        if isinstance(value, TieredPrices):
            starts = [tier.start for tier in value.tiers]
            next_tier = min([*starts, next_tier or starts[0]])
        rate = value.base if isinstance(value, TieredPrices) else value
        found[unit] = _exact(rate)
    return found, next_tier


def _exact(rate: object) -> Decimal:
    """A rate as it is kept: no binary fraction, and nothing beyond the tenth place."""
    if not isinstance(rate, Decimal) or not rate.is_finite():
        raise UnusableError(f"{rate!r} is no exact rate")
    exponent = rate.as_tuple().exponent
    assert isinstance(exponent, int)  # it is finite
    if exponent < -_PLACES or not 0 <= rate <= HIGHEST_RATE:
        raise UnusableError(f"{rate} is no rate from 0 to {HIGHEST_RATE:,} with {_PLACES} places at most")
    return rate
