"""What recommendations come to together: none of a tenant's money is promised twice."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from apps.ai.models import RecommendationKind as Kind
from apps.ai.optimisation.facts import Facts
from apps.ai.optimisation.patterns import analyse
from apps.ai.optimisation.totals import Expected, Measured, expected, measured
from apps.costs.pricing import Usage
from tests.ai.test_optimisation_patterns import DEAR, asked, facts, lost

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


# Minutes since the one before, which question, its length, whether it is `fresh`, and failed attempts before.
QUESTIONS = st.lists(
    st.tuples(
        st.sampled_from([1, 4, 20, 600]),
        st.integers(0, 5),
        st.sampled_from([10, 100, 9_000]),
        st.booleans(),
        st.sampled_from([0, 0, 0, 2]),
    ),
    min_size=20,
    max_size=60,
)


def paid_for(questions: Sequence[tuple[int, int, int, bool, int]]) -> Facts:
    """Each has cost its tokens at the dear model, and a tenth of a cent for each attempt that failed."""
    rows, attempts, minutes = [], [], 0
    for waited, which, tokens, fresh, failed in questions:
        minutes += waited
        cost = DEAR.price(Usage(tokens, 20)) or Decimal(0)
        tried = lost(failed, cost="0.001")
        cost += sum(each.cost for each in tried)
        rows.append(asked(minutes, question=str(which), input_tokens=tokens, fresh=fresh, cost=cost))
        attempts += tried
    return facts(rows, lost=attempts)


@given(QUESTIONS)
def test_no_more_is_promised_than_was_paid(questions: list[tuple[int, int, int, bool, int]]) -> None:
    of = paid_for(questions)

    found = analyse(of, least=Decimal(0))

    promised = expected(Expected(each.kind, each.task_kind, each.monthly_saving) for each in found)
    assert promised <= of.monthly(sum((each.cost for each in of.asked), Decimal(0)))


def test_that_would_be_too_much_if_all_were_added_up() -> None:
    of = paid_for([(20, 0, 9_000, False, 2)] * 30)
    found = analyse(of, least=Decimal(0))

    assert {each.kind for each in found} == {Kind.REPEATED_PROMPTS, Kind.DEAR_MODEL, Kind.RETRIES}
    paid = of.monthly(sum((each.cost for each in of.asked), Decimal(0)))
    assert sum(each.monthly_saving for each in found) > paid


def test_what_two_of_one_kind_have_saved_is_measured_once_from_the_first() -> None:
    first = applied("caption", saved=9, predicted=5)
    second = applied("caption", after=DAY, saved=4, predicted=6)

    saved, promised = measured([second, first, applied("idea", saved=-1, predicted=2)])
    assert saved == promised == 8
