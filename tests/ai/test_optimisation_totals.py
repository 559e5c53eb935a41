"""What recommendations come to together: none of a tenant's money is promised twice."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from apps.ai.models import RecommendationKind as Kind
from apps.ai.optimisation.totals import Expected, Measured, expected, measured

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def promise(kind: Kind, task_kind: str, dollars: int) -> Expected:
    return Expected(kind, task_kind, Decimal(dollars))


def applied(task_kind: str, *, after: timedelta = timedelta(), saved: int, predicted: int) -> Measured:
    return Measured(task_kind, FIRST + after, Decimal(saved), Decimal(predicted))


def test_of_a_cache_and_a_cheaper_model_for_the_same_questions_the_better_counts() -> None:
    cache, model = promise(Kind.REPEATED_PROMPTS, "caption", 6), promise(Kind.DEAR_MODEL, "caption", 8)
    others = promise(Kind.REPEATED_PROMPTS, "idea", 3)

    assert expected([cache, model, others]) == 11


def test_attempts_that_failed_are_money_apart_from_answers_and_not_from_questions_that_are_spared() -> None:
    attempts, model = promise(Kind.RETRIES, "", 2), promise(Kind.DEAR_MODEL, "caption", 8)

    assert expected([attempts, model]) == 10
    assert expected([attempts, promise(Kind.REPEATED_PROMPTS, "caption", 8)]) == 8
    assert expected([attempts, model, promise(Kind.REPEATED_PROMPTS, "caption", 9)]) == 10


def test_nothing_is_recommended_and_nothing_is_expected() -> None:
    assert expected([]) == 0
    assert sum(measured([])) == 0


ANY = st.lists(
    st.builds(promise, st.sampled_from(Kind), st.sampled_from(["idea", "caption"]), st.integers(0, 9))
)


def about_the_same(one: Expected, other: Expected) -> bool:
    """As docs/optimisation.md says which exclude each other."""
    tried = [each.kind == Kind.RETRIES for each in (one, other)]
    if any(tried):
        spared = {one.kind, other.kind} & {Kind.REPEATED_PROMPTS, Kind.CACHE_MISSES}
        return not all(tried) and bool(spared)
    return one.task_kind == other.task_kind


def best(of: Sequence[Expected]) -> Decimal:
    """By trying every choice of such as don't exclude each other."""
    sums = [Decimal(0)]
    for number in range(1, len(of) + 1):
        sums += [
            sum((each.monthly for each in chosen), Decimal(0))
            for chosen in combinations(of, number)
            if not any(about_the_same(*pair) for pair in combinations(chosen, 2))
        ]
    return max(sums)


@given(ANY.map(lambda some: some[:7]))
def test_it_is_the_best_choice_of_those_that_do_not_exclude_each_other(some: list[Expected]) -> None:
    assert expected(some) == best(some)


def test_what_two_of_one_kind_have_saved_is_measured_once_from_the_first() -> None:
    first = applied("caption", saved=9, predicted=5)
    second = applied("caption", after=DAY, saved=4, predicted=6)

    saved, promised = measured([second, first, applied("idea", saved=-1, predicted=2)])
    assert saved == promised == 8
