"""A provider's figures against ours, and what of a difference the estimates explain."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.costs.price_list import AS_OF, listed_price
from apps.costs.reconciliation import (
    Difference,
    Ours,
    Rest,
    Theirs,
    Tolerance,
    Verdict,
    compare,
)
from apps.costs.sharing import share_out, split

DAY = date(2026, 3, 31)
KEY = (DAY, "gpt-4o")
EXACTLY = Tolerance(share=Decimal(0), amount=Decimal(0))
amounts = st.integers(0, 10**14).map(lambda units: Decimal(units).scaleb(-10))


def difference(theirs: Theirs | None, ours: Ours | None, **options: Any) -> Difference:
    (found,) = compare(
        {KEY: theirs} if theirs else {},
        {KEY: ours} if ours else {},
        **{"rates": {}, "tolerance": Tolerance(), "today": date(2026, 4, 2), **options},
    )
    return found


@given(st.integers(0, 10**16), st.lists(st.integers(0, 10**14), min_size=1, max_size=30))
def test_parts_add_up_and_are_as_near_to_their_share_as_whole_numbers_can_be(
    total: int, weights: list[int]
) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        if whole:
            assert abs(part * whole - total * weight) < whole
            assert part == 0 or weight > 0


@given(
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    amounts,
    st.lists(amounts, min_size=1, max_size=20),
)
def test_shares_are_usages_that_can_be_and_add_up_to_the_last_digit(
    uncached: int, cached: int, output: int, amount: Decimal, bounds: list[Decimal]
) -> None:
    shares = share_out(Rest(uncached + cached, cached, output, amount), bounds)
    assert sum(each.input_tokens for each in shares) == uncached + cached
    assert sum(each.cached_tokens for each in shares) == cached
    assert sum(each.output_tokens for each in shares) == output
    assert sum(each.amount for each in shares) == amount
    for each in shares:
        assert 0 <= each.cached_tokens <= each.input_tokens
        assert each.amount >= 0
        assert each.amount == round(each.amount, 10)


@given(st.integers(0, 10**6), st.integers(0, 10**6), amounts, st.lists(amounts, min_size=1), st.data())
def test_where_only_estimates_differ_corrections_make_the_sums_theirs(
    tokens: int, output: int, known: Decimal, bounds: list[Decimal], data: st.DataObject
) -> None:
    actual = data.draw(
        amounts.filter(lambda amount: amount <= sum(bounds)) | st.just(sum(bounds, Decimal(0)))
    )
    ours = Ours(9, tokens, 0, output, known + sum(bounds), len(bounds), sum(bounds, Decimal(0)))
    theirs = Theirs(9, tokens + 7, 2, output + 3, known + actual)
    found = difference(theirs, ours, tolerance=EXACTLY)
    assert found.rest is not None
    shares = share_out(found.rest, bounds)
    assert ours.known_amount + sum(each.amount for each in shares) == theirs.amount
    assert tokens + sum(each.input_tokens for each in shares) == theirs.input_tokens


@pytest.mark.parametrize(
    ("theirs", "ours", "verdict"),
    [
        (Theirs(1, 100, 0, 10, Decimal(5)), Ours(1, 100, 0, 10, Decimal(5)), Verdict.MATCHED),
        (Theirs(9, 100, 0, 10, Decimal(5)), Ours(1, 100, 0, 10, Decimal(5)), Verdict.MATCHED),
        (Theirs(1, 1000, 0, 0, Decimal(5)), Ours(1, 1005, 0, 0, Decimal("5.02")), Verdict.MATCHED),
        (Theirs(1, 1000, 0, 0, Decimal(5)), Ours(1, 1006, 0, 0, Decimal(5)), Verdict.DIFFERENT),
        (Theirs(1, 100, 0, 10, Decimal(5)), Ours(1, 100, 0, 10, Decimal("5.03")), Verdict.DIFFERENT),
        (Theirs(amount=Decimal(5)), Ours(1, 100, 0, 10, Decimal(5)), Verdict.MATCHED),
        (Theirs(1, 100, 0, 10), Ours(1, 100, 0, 11, Decimal(5)), Verdict.DIFFERENT),
        (Theirs(1), Ours(1, 100, 0, 10, Decimal(5)), Verdict.DIFFERENT),
        (None, Ours(1, 100, 0, 10, Decimal(5)), Verdict.OURS_ONLY),
        (Theirs(1, 100, 0, 10, Decimal(5)), None, Verdict.THEIRS_ONLY),
    ],
)
def test_what_counts_as_the_same(theirs: Theirs | None, ours: Ours | None, verdict: Verdict) -> None:
    assert difference(theirs, ours).verdict is verdict


ESTIMATED = Ours(3, 100, 10, 10, Decimal(12), estimates=2, estimated_amount=Decimal(10))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (Theirs(3, 150, 10, 20, Decimal("1.5")), "less than we know"),
        (Theirs(3, 99, 10, 20, Decimal(5)), "less than we know"),
        (Theirs(3, 101, 12, 20, Decimal(5)), "less than we know"),
        (Theirs(3, 150, 10, 20, Decimal("12.01")), "more than the estimated attempts"),
        (Theirs(3, 150, 10, 20), "no price"),
        (Theirs(3, 2**32, 10, 20, Decimal(5)), "than attempts can have"),
        (None, "The provider has nothing"),
    ],
)
def test_what_estimates_do_not_explain_is_left_alone_and_says_why(theirs: Theirs | None, reason: str) -> None:
    found = difference(theirs, ESTIMATED)
    assert found.rest is None
    assert reason in found.reason


def test_what_they_explain_is_the_rest() -> None:
    assert difference(Theirs(3, 150, 20, 30, Decimal(5)), ESTIMATED).rest == Rest(50, 10, 20, Decimal(3))
    # They never arrived: nothing was used. A ten-thousandth less is rounding.
    assert difference(Theirs(1, 100, 10, 10, Decimal("1.9999")), ESTIMATED).rest == Rest(0, 0, 0, Decimal(0))
    more = difference(Theirs(3, 150, 20, 30, Decimal(13)), ESTIMATED, above_bounds=True)
    assert more.rest == Rest(50, 10, 20, Decimal(11))
    nothing_estimated = difference(Theirs(3, 150, 20, 30, Decimal(5)), Ours(3, 100, 10, 10, Decimal(2)))
    assert (nothing_estimated.rest, nothing_estimated.reason) == (None, "")


KNOWN = Ours(13, 1_000_000, 400_000, 50_000, Decimal("7.2"), estimates=3, estimated_amount=Decimal("2.7"))


@pytest.mark.parametrize(
    ("tokens", "rest"),
    [
        ((999_990, 399_996, 49_999), (0, 0, 0)),
        ((995_025, 398_010, 49_752), (0, 0, 0)),
        # Fewer of one, more of another; more cached than there is input left for.
        ((999_990, 400_000, 50_300), (0, 0, 300)),
        ((1_000_100, 399_996, 49_999), (100, 0, 0)),
        ((999_990, 400_010, 50_000), (0, 0, 0)),
        ((1_000_100, 400_150, 50_000), (100, 100, 0)),
    ],
)
def test_a_few_tokens_fewer_than_we_know_are_rounding(
    tokens: tuple[int, int, int], rest: tuple[int, int, int]
) -> None:
    theirs = Theirs(13, *tokens, Decimal("4.5"))
    assert difference(theirs, KNOWN).rest == Rest(*rest, Decimal(0))


@pytest.mark.parametrize(
    "tokens",
    [
        (994_900, 400_000, 50_000),
        (1_000_000, 397_000, 50_000),
        (1_000_000, 400_000, 49_700),
        (1_000_100, 403_000, 50_000),
        (999_990, 403_000, 50_000),
    ],
)
def test_fewer_tokens_than_the_tolerance_allows_are_something_else(tokens: tuple[int, int, int]) -> None:
    found = difference(Theirs(13, *tokens, Decimal("4.5")), KNOWN)
    assert found.rest is None
    assert "less than we know" in found.reason


def test_a_day_that_is_not_over_is_compared_and_not_corrected() -> None:
    found = difference(Theirs(3, 150, 20, 30, Decimal(5)), ESTIMATED, today=DAY)
    assert (found.verdict, found.rest) == (Verdict.DIFFERENT, None)
    assert "wasn't over" in found.reason


def test_tokens_without_amounts_cost_what_our_prices_say() -> None:
    rates = listed_price(provider="openai", model="gpt-4o", at=AS_OF)
    assert rates is not None
    found = difference(Theirs(3, 1_000_100, 10, 10), ESTIMATED, rates={KEY: rates}, tolerance=EXACTLY)
    assert found.priced
    assert found.theirs is not None
    assert found.theirs.amount == Decimal("4.5")
    assert found.rest == Rest(1_000_000, 0, 0, Decimal("2.5"))


def test_an_export_without_cached_tokens_has_as_many_as_we_know_of() -> None:
    """They are part of the input, so that nothing of them is missing says nothing."""
    found = difference(Theirs(3, 150, None, 20, Decimal(5)), ESTIMATED)
    assert found.rest == Rest(50, 0, 10, Decimal(3))
    assert found.theirs == Theirs(3, 150, None, 20, Decimal(5))
    rates = listed_price(provider="openai", model="gpt-4o", at=AS_OF)
    assert rates is not None
    ours = Ours(1, 1_000_000, 1_000_000, 0, Decimal("1.25"))
    found = difference(Theirs(1, 1_000_000, None, 0), ours, rates={KEY: rates}, tolerance=EXACTLY)
    assert found.verdict is Verdict.MATCHED


def test_what_a_part_does_not_say_is_unknown_of_the_sum() -> None:
    assert Theirs(1, 10, 1, 1, Decimal(1)) + Theirs(1, 10, None, 1) == Theirs(2, 20, None, 2)


def test_tokens_that_would_cost_more_than_can_be_have_no_amount() -> None:
    rates = listed_price(provider="openai", model="gpt-4o", at=AS_OF)
    assert rates is not None
    found = difference(Theirs(3, 10**15, 0, 10**15), None, rates={KEY: rates})
    assert found.theirs is not None
    assert found.theirs.amount is None
    assert "can be reckoned" in difference(Theirs(3, 10**15, 0, 10), ESTIMATED, rates={KEY: rates}).reason
