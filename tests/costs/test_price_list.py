"""What the package's own list says, read without asking anybody."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
)

from apps.costs.price_list import (
    HIGHEST_RATE,
    PROVIDERS,
    RATES,
    ListPrice,
    UnusableError,
    _price,
    listed_price,
    listed_prices,
)

NOW = datetime(2026, 11, 29, tzinfo=UTC)

# Any connection or look-up of a name ends the process; the list is asked for all it has.
_OFFLINE = """
import sys, threading
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"{event}: {args}")
sys.addaudithook(refuse)
from datetime import datetime, UTC
from apps.costs.price_list import PROVIDERS, listed_prices
for provider in PROVIDERS:
    assert len(listed_prices(provider=provider, at=datetime(2026, 11, 29, tzinfo=UTC))[0]) > 50
import genai_prices
assert threading.active_count() == 1, threading.enumerate()
print("offline")
"""


def model(prices: ModelPrice | list[ConditionalPrice], *variants: PriceVariant) -> ModelInfo:
    return ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=prices, price_variants=list(variants))


def read(info: ModelInfo, *, name: str = "m", at: datetime = NOW, own: bool = True) -> ListPrice:
    return _price(name, info, at=at, own=own)


def plain(**rates: str) -> ModelPrice:
    return ModelPrice(**{name: Decimal(rate) for name, rate in rates.items()})


def test_reading_the_list_asks_nobody() -> None:
    ran = subprocess.run([sys.executable, "-c", _OFFLINE], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("offline\n", "", 0)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_listed_rate_is_an_exact_one_that_can_be(provider: str) -> None:
    usable, unusable = listed_prices(provider=provider, at=NOW)

    assert {"gpt-4o", "gpt-4o-mini", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo"} <= set(usable)
    assert not set(usable) & set(unusable)
    for price in usable.values():
        for name in RATES:
            rate = getattr(price, name)
            assert rate is None or (isinstance(rate, Decimal) and 0 <= rate <= HIGHEST_RATE)
        assert (price.output_per_million == 0) == (price.kind == "embedding")


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("gpt-4o", ("2.50", "1.25", "10.00")),
        ("gpt-4-turbo", ("10", None, "30")),
        ("gpt-3.5-turbo", ("0.50", None, "1.50")),
        ("gpt-3.5-turbo-0125", ("0.50", None, "1.50")),
    ],
)
def test_models_are_found_by_their_names_and_aliases(name: str, rates: tuple[str | None, ...]) -> None:
    for provider in PROVIDERS:
        price = listed_price(provider=provider, model=name, at=NOW)
        assert price is not None
        found = (price.input_per_million, price.cached_input_per_million, price.output_per_million)
        assert found == tuple(rate and Decimal(rate) for rate in rates)


@pytest.mark.parametrize(
    "name", ["", "gpt", "gpt-4o-", "GPT-4o", "my-o4-mini", "gpt-4ö", "ft:", "x" * 10_000]
)
def test_a_name_that_only_resembles_one_is_not_known(name: str) -> None:
    assert [listed_price(provider=each, model=name, at=NOW) for each in PROVIDERS] == [None, None]


def test_openais_batches_are_not_azures() -> None:
    prices = [listed_price(provider=each, model="gpt-4o", at=NOW) for each in PROVIDERS]
    assert [each and each.batch_input_per_million for each in prices] == [Decimal("1.25"), None]
    assert [each and each.batch_output_per_million for each in prices] == [Decimal(5), None]


def test_what_starts_on_a_day_counts_from_its_midnight() -> None:
    newer = StartDateConstraint(start_date=datetime(2026, 6, 10, tzinfo=UTC).date())
    info = model(
        [
            ConditionalPrice(prices=plain(input_mtok="10", output_mtok="40")),
            ConditionalPrice(newer, prices=plain(input_mtok="2", output_mtok="8")),
        ]
    )
    last = datetime(2026, 6, 9, 23, 59, 59, tzinfo=UTC)

    assert read(info, at=last).input_per_million == 10
    assert read(info, at=datetime(2026, 6, 10, tzinfo=UTC)).input_per_million == 2


def test_a_batch_costs_what_its_variant_says_and_the_rest_as_usual() -> None:
    usual = plain(input_mtok="4", cache_read_mtok="1", output_mtok="8")
    some = PriceVariant(when={"processing": "batch"}, prices=plain(input_mtok="2", output_mtok="4"))
    same = PriceVariant(when={"processing": "batch"}, prices=ModelPrice())
    tier = PriceVariant(when={"service_tier": "flex"}, prices=plain(input_mtok="2", output_mtok="4"))

    def batch(*variants: PriceVariant, own: bool = True) -> tuple[Decimal | None, ...]:
        price = read(model(usual, *variants), own=own)
        return (
            price.batch_input_per_million,
            price.batch_cached_input_per_million,
            price.batch_output_per_million,
        )

    assert batch(tier, some) == (Decimal(2), Decimal(1), Decimal(4))
    assert batch(same) == (Decimal(4), Decimal(1), Decimal(8))
    assert batch(tier) == batch(some, own=False) == (None, None, None)


def test_of_tiers_the_lowest_is_taken_and_the_next_is_named() -> None:
    tiers = TieredPrices(base=Decimal("2.5"), tiers=[Tier(start=272_000, price=Decimal(5))])
    price = read(model(ModelPrice(input_mtok=tiers, output_mtok=Decimal(15))))

    assert (price.input_per_million, price.output_per_million) == (Decimal("2.5"), Decimal(15))
    assert price.note.endswith(", up to 272,000 input tokens")


@pytest.mark.parametrize(
    ("prices", "why"),
    [
        (plain(input_mtok="1", output_mtok="2", cache_write_mtok="1.25"), "cache_write_mtok"),
        (plain(input_mtok="1", output_mtok="2", input_audio_mtok="9"), "input_audio_mtok"),
        (plain(input_mtok="1"), "tokens of text"),
        (plain(output_mtok="1"), "tokens of text"),
        (ModelPrice(), "tokens of text"),
        (plain(input_mtok="1", output_mtok="0.00000000001"), "10 places"),
        (plain(input_mtok="10000.01", output_mtok="1"), "10,000"),
        (plain(input_mtok="-1", output_mtok="1"), "from 0"),
        (plain(input_mtok="NaN", output_mtok="1"), "no exact rate"),
        (ModelPrice(input_mtok=0.1, output_mtok=Decimal(1)), "no exact rate"),  # type: ignore[arg-type]
    ],
)
def test_what_the_ledger_can_not_account_for_is_left_out(prices: ModelPrice, why: str) -> None:
    with pytest.raises(UnusableError, match=why):
        read(model(prices))
