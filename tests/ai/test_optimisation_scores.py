"""Scores of answers, what a sample says of all, and what a change has saved."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.optimisation.facts import MONTH
from apps.ai.optimisation.measurement import LEAST_CALLS, Calls, saved
from apps.ai.optimisation.scoring import compare, judged, length_ratio, similarity, words_of
from apps.ai.optimisation.verdicts import LEAST, verdict

TEXT = st.text(max_size=60)


@given(TEXT, TEXT)
def test_scores_lie_between_nothing_and_one(first: str, second: str) -> None:
    found = compare(first, second)
    assert 0 <= found.similarity <= 1
    assert 0 <= found.length <= 1
    assert 0 <= found.total <= 1


@given(TEXT)
def test_a_text_is_as_good_as_itself(text: str) -> None:
    assert compare(text, text).total == 1


@given(TEXT, TEXT)
def test_the_ratio_of_lengths_is_the_same_both_ways(first: str, second: str) -> None:
    assert length_ratio(first, second) == length_ratio(second, first)


def test_the_nearer_text_is_the_more_alike() -> None:
    original = "The lake was calm at dusk, and the sky red."
    near, far = "The lake was calm at dusk and the sky was red.", "Buy two, get one for half the price!"
    assert 0.7 < similarity(original, near) < 1
    assert similarity(original, far) < 0.2


def test_what_is_missing_counts_for_more_than_what_is_too_much() -> None:
    whole, half = "A calm lake under a red sky, and you beside it.", "A calm lake under a red sky,"
    assert similarity(whole, half) < similarity(half, whole)


def test_it_is_the_score_that_its_definition_gives() -> None:
    # Orders 1 to 3: precision 2/3, 1/2, 0; recall 2/4, 1/3, 0. Order 4: only the original is so long.
    f_score = [5 * p * r / (4 * p + r) for p, r in ((2 / 3, 2 / 4), (1 / 2, 1 / 3))]
    assert similarity("abcd", "abx") == pytest.approx(sum(f_score) / 4)


@pytest.mark.parametrize(
    ("first", "second", "score"), [("", "", 1), ("", "a", 0), ("a", "", 0), (" a", "a\n", 1)]
)
def test_empty_texts_and_white_space(first: str, second: str, score: int) -> None:
    assert similarity(first, second) == score


def test_texts_in_other_scripts_are_compared_by_their_characters() -> None:
    assert similarity("さくらが咲いた", "さくらが散った") > 0.3
    assert similarity("😀😀", "😀") > 0


def test_a_structured_answer_is_compared_by_names_and_values_whatever_their_order() -> None:
    first = {"title": "Lake", "steps": [{"do": "greet"}, {"do": "offer"}], "price": 12}
    second = {"price": 12, "steps": [{"do": "greet"}, {"do": "offer"}], "title": "Lake"}
    assert words_of("", first) == words_of("", second)
    assert words_of("", first) != words_of("", {**first, "price": 13})
    assert words_of("Hello", None) == "Hello"


def test_a_judges_word_stands_instead_of_the_form() -> None:
    found = compare("A calm lake.", "Something else.", judge=0.9)
    assert found.total == Decimal("0.9")
    assert set(found.as_json()) == {"similarity", "length", "judge"}


@pytest.mark.parametrize(
    "said", [None, {}, [], {"score": "0.5"}, {"score": True}, {"score": -0.1}, {"score": 1.1}]
)
def test_a_judge_may_fail_to_give_a_score(said: Any) -> None:
    assert judged(said) is None


@pytest.mark.parametrize("score", [0, 0.5, 1])
def test_a_judge_gives_a_score(score: float) -> None:
    assert judged({"score": score, "reason": "It says the same."}) == score


SCORES = st.lists(st.decimals(0, 1, places=4), min_size=LEAST, max_size=100)


@given(SCORES)
def test_the_interval_holds_the_mean_and_stays_between_nothing_and_one(scores: list[Decimal]) -> None:
    found = verdict(scores)
    assert found is not None
    assert 0 <= found.lower <= found.mean <= found.upper <= 1


def test_the_interval_is_students() -> None:
    found = verdict([Decimal("0.8"), Decimal("0.9"), Decimal("0.7"), Decimal("0.8"), Decimal("0.8")])
    assert found is not None
    # Standard deviation 0.070711, t of 4 degrees 2.776: 0.8 ± 2.776 · 0.070711 / √5.
    assert (found.mean, found.lower, found.upper) == (Decimal("0.8"), Decimal("0.7122"), Decimal("0.8878"))
    assert found.reaches(Decimal("0.71"))
    assert not found.reaches(Decimal("0.72"))


def test_more_of_the_same_make_it_narrower() -> None:
    few, many = verdict([Decimal("0.7"), Decimal("0.9")] * 3), verdict([Decimal("0.7"), Decimal("0.9")] * 30)
    assert few is not None
    assert many is not None
    assert few.lower < many.lower


def test_four_scores_say_nothing() -> None:
    assert verdict([Decimal(1)] * (LEAST - 1)) is None


def test_what_was_saved_is_by_the_calls_that_were_made() -> None:
    before, since = Calls(100, Decimal(10)), Calls(50, Decimal(2))

    found = saved(before=before, span=MONTH, since=since, monthly_saving=Decimal(8))

    assert found is not None
    assert (found.measured, found.predicted) == (Decimal(3), Decimal(4))


def test_a_month_was_predicted_and_the_calls_before_are_of_ten_days() -> None:
    before = Calls(100, Decimal(10))
    found = saved(before=before, span=timedelta(days=10), since=before, monthly_saving=Decimal(9))
    assert found is not None
    assert (found.measured, found.predicted) == (Decimal(0), Decimal(3))


def test_what_has_cost_more_is_a_loss() -> None:
    found = saved(
        before=Calls(20, Decimal(1)), span=MONTH, since=Calls(20, Decimal(2)), monthly_saving=Decimal(1)
    )
    assert found is not None
    assert found.measured == -1


@pytest.mark.parametrize(("before", "since"), [(LEAST_CALLS - 1, 100), (100, LEAST_CALLS - 1), (0, 0)])
def test_a_few_calls_say_nothing(before: int, since: int) -> None:
    calls = (Calls(before, Decimal(before)), Calls(since, Decimal(since)))
    assert saved(before=calls[0], span=MONTH, since=calls[1], monthly_saving=Decimal(1)) is None
