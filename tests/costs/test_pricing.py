from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.costs import pricing
from apps.costs.pricing import Usage

RATE = st.decimals(min_value=0, max_value=10_000, places=10)
TOKENS = st.integers(min_value=0, max_value=10_000_000)


@dataclass(frozen=True)
class Rates:
    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None


RATES = st.builds(Rates, RATE, RATE, st.none() | RATE)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    tokens = draw(TOKENS)
    return Usage(tokens, draw(TOKENS), draw(st.integers(min_value=0, max_value=tokens)))


def test_a_call_costs_its_tokens_at_their_rates() -> None:
    rates = Rates(Decimal("2.50"), Decimal("10.00"), Decimal("1.25"))

    amount = pricing.cost(usage=Usage(input_tokens=1000, output_tokens=100, cached_tokens=400), rates=rates)

    # 600 at 2.50, 400 at 1.25, 100 at 10.00 per million
    assert amount == Decimal("0.0030000000")


def test_cached_tokens_without_a_rate_of_their_own_are_billed_as_input() -> None:
    rates = Rates(Decimal("0.5"), Decimal("1.5"))

    cached = pricing.cost(usage=Usage(1000, 0, 1000), rates=rates)

    assert cached == pricing.cost(usage=Usage(1000, 0, 0), rates=rates) == Decimal("0.0005")


def test_a_cached_rate_of_zero_is_a_rate() -> None:
    assert pricing.cost(usage=Usage(1000, 0, 1000), rates=Rates(Decimal(1), Decimal(1), Decimal(0))) == 0


@dataclass(frozen=True)
class Batch:
    batch_input_per_million: Decimal | None
    batch_cached_input_per_million: Decimal | None
    batch_output_per_million: Decimal | None


def test_a_batch_costs_its_own_rates() -> None:
    rates = pricing.batch_rates(Batch(Decimal("1.25"), Decimal("0.5"), Decimal(5)))
    assert rates is not None

    amount = pricing.cost(usage=Usage(input_tokens=1000, output_tokens=100, cached_tokens=400), rates=rates)

    # 600 at 1.25, 400 at 0.50, 100 at 5.00 per million
    assert amount == Decimal("0.00145")
    assert pricing.bound(body_bytes=1000, max_tokens=100, rates=rates) == Decimal("0.00175")


def test_cached_tokens_of_a_batch_without_a_rate_of_their_own_cost_its_input() -> None:
    rates = pricing.batch_rates(Batch(Decimal(1), None, Decimal(5)))
    assert rates is not None
    assert pricing.cost(usage=Usage(1000, 0, 1000), rates=rates) == Decimal("0.001")


@pytest.mark.parametrize("rates", [(None, None, None), (Decimal(1), None, None), (None, None, Decimal(1))])
def test_without_both_rates_there_is_no_batch(rates: tuple[Decimal | None, ...]) -> None:
    assert pricing.batch_rates(Batch(*rates)) is None


@given(rate=RATE, tokens=TOKENS)
def test_an_embedding_costs_its_input_alone_and_its_bound_has_no_answer(rate: Decimal, tokens: int) -> None:
    rates = Rates(rate, Decimal(0))

    cost = pricing.cost(usage=Usage(tokens, 0), rates=rates)

    assert cost <= pricing.bound(body_bytes=tokens, max_tokens=0, rates=rates)
    assert pricing.bound(body_bytes=tokens, max_tokens=0, rates=rates) == pricing.bound(
        body_bytes=tokens, max_tokens=1000, rates=rates
    )


@given(rates=RATES, usage=usages())
def test_no_usage_within_its_request_costs_more_than_the_bound(rates: Rates, usage: Usage) -> None:
    bound = pricing.bound(body_bytes=usage.input_tokens, max_tokens=usage.output_tokens, rates=rates)

    assert pricing.cost(usage=usage, rates=rates) <= bound


@given(rates=RATES, usage=usages())
def test_a_cost_is_exact_to_ten_places(rates: Rates, usage: Usage) -> None:
    amount = pricing.cost(usage=usage, rates=rates)

    assert amount.as_tuple().exponent == -10
    cached_rate = rates.cached_input_per_million
    scaled = (
        (usage.input_tokens - usage.cached_tokens) * _units(rates.input_per_million)
        + usage.cached_tokens * _units(rates.input_per_million if cached_rate is None else cached_rate)
        + usage.output_tokens * _units(rates.output_per_million)
    )
    assert abs(_units(amount) * 1_000_000 - scaled) <= 500_000


def _units(amount: Decimal) -> int:
    return int(amount.scaleb(10))


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (1, -1, 0), (1, 0, 2), (1, 0, -1)])
def test_usage_that_cannot_be_is_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no usage"):
        Usage(*numbers)
