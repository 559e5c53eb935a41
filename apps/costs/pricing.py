"""All arithmetic of costs. Amounts are exact decimals with ten places, in the price's currency."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from typing import Protocol

# Wide enough that nothing is rounded before the last step: 20 digits of price times 20 of tokens.
_EXACT = Context(prec=60)
_PLACES = Decimal(1).scaleb(-10)
_MILLION = Decimal(1_000_000)


class Rates(Protocol):
    """Prices per million tokens; without one for cached tokens they cost what others do."""

    @property
    def input_per_million(self) -> Decimal: ...
    @property
    def cached_input_per_million(self) -> Decimal | None: ...
    @property
    def output_per_million(self) -> Decimal: ...


class BatchRates(Protocol):
    """What a batch costs per million tokens, where it may be sent at all."""

    @property
    def batch_input_per_million(self) -> Decimal | None: ...
    @property
    def batch_cached_input_per_million(self) -> Decimal | None: ...
    @property
    def batch_output_per_million(self) -> Decimal | None: ...


@dataclass(frozen=True, slots=True)
class FixedRates:
    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a provider counted; the cached ones are part of the input."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.cached_tokens <= self.input_tokens or self.output_tokens < 0:
            raise ValueError(f"no usage that can be: {self}")


def batch_rates(price: BatchRates) -> FixedRates | None:
    """The rates for `cost` and `bound` of what is sent in a batch; None if a price has none.

    Such a batch isn't paid for: nobody knows what it costs.
    """
    input_rate, output_rate = price.batch_input_per_million, price.batch_output_per_million
    if input_rate is None or output_rate is None:
        return None
    return FixedRates(input_rate, output_rate, price.batch_cached_input_per_million)


def cost(*, usage: Usage, rates: Rates) -> Decimal:
    """What these tokens cost. An embedding's have no output, and its price a rate of zero for it."""
    cached_rate = rates.cached_input_per_million
    if cached_rate is None:
        cached_rate = rates.input_per_million
    uncached = usage.input_tokens - usage.cached_tokens
    total = _sum(
        (uncached, rates.input_per_million),
        (usage.cached_tokens, cached_rate),
        (usage.output_tokens, rates.output_per_million),
    )
    return total.quantize(_PLACES, rounding=ROUND_HALF_EVEN, context=_EXACT)


def bound(*, body_bytes: int, max_tokens: int, rates: Rates) -> Decimal:
    """The most that a request can cost.

    `body_bytes` is the length of its whole body in UTF-8: no tokenizer makes more tokens than bytes, and the
    JSON around a message is longer than the tokens that separate it from the next. Nothing counts as cached.
    """
    input_rate = max(rates.input_per_million, rates.cached_input_per_million or Decimal(0))
    total = _sum((body_bytes, input_rate), (max_tokens, rates.output_per_million))
    return total.quantize(_PLACES, rounding=ROUND_CEILING, context=_EXACT)


def _sum(*parts: tuple[int, Decimal]) -> Decimal:
    total = Decimal(0)
    for tokens, per_million in parts:
        total = _EXACT.add(total, _EXACT.multiply(Decimal(tokens), per_million))
    return _EXACT.divide(total, _MILLION)
