"""The way through the matrix."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.fallback import Progress, next_step, successors
from apps.ai.matrix import MATRIX, Action, Where
from apps.ai.routing import Candidate, Costs
from apps.common.ids import uuid7
from tests.ai.test_routing import Rate

HERE = [Action.RETRY_HERE, Action.SHORTEN, Action.REPAIR, Action.PLAIN_JSON]
ELSEWHERE = Action.OTHER_DEPLOYMENT


def way(kind: str, *impossible: Action, steps: int = 6, awaited: bool = False) -> list[str]:
    """What is done when one kind of failure follows another, until it is given up."""
    progress, taken = Progress(awaited=awaited), []
    for _ in range(steps):
        action = progress.next(kind, impossible=impossible).action
        taken.append(str(action))
        if action is Action.STOP:
            break
    return taken


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limited", ["retry_here", "retry_here", "retry_here"]),
        ("timeout", ["other_deployment", "other_deployment", "other_deployment"]),
        ("server_error", ["retry_here", "other_deployment", "retry_here", "other_deployment"]),
        ("connection", ["retry_here", "other_deployment", "retry_here", "other_deployment"]),
        ("auth", ["other_deployment", "other_deployment"]),
        ("context_too_long", ["shorten", "other_deployment", "shorten", "other_deployment"]),
        ("content_filtered", ["other_deployment", "stop"]),
        ("malformed", ["retry_here", "other_deployment", "retry_here", "other_deployment"]),
        ("unsupported_format", ["plain_json", "other_deployment", "plain_json", "other_deployment"]),
        ("bad_request", ["other_deployment", "stop"]),
        ("unusable_answer", ["repair", "other_deployment", "repair", "other_deployment"]),
        ("budget_exhausted", ["other_deployment", "other_deployment"]),
        ("budget_busy", ["retry_here", "retry_here"]),
        ("no_price", ["other_deployment", "other_deployment"]),
    ],
)
def test_a_failure_that_goes_on(kind: str, expected: list[str]) -> None:
    assert way(kind, steps=len(expected)) == expected


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limited", ["retry_here", "retry_here"]),
        ("timeout", ["retry_here", "retry_here"]),
        ("server_error", ["retry_here", "retry_here", "retry_here"]),
        ("auth", ["stop"]),
        ("context_too_long", ["shorten", "stop"]),
        ("content_filtered", ["stop"]),
        ("unsupported_format", ["plain_json", "stop"]),
        ("unusable_answer", ["repair", "stop"]),
        ("budget_exhausted", ["stop"]),
    ],
)
def test_a_failure_with_nowhere_else_to_go(kind: str, expected: list[str]) -> None:
    assert way(kind, ELSEWHERE, steps=len(expected)) == expected


def test_a_wait_for_which_there_is_no_time_is_the_next_ones_turn() -> None:
    assert way("rate_limited", Action.RETRY_HERE, steps=1) == ["other_deployment"]
    assert way("rate_limited", Action.RETRY_HERE, ELSEWHERE) == ["stop"]
    assert way("budget_busy", Action.RETRY_HERE, steps=1) == ["other_deployment"]


def test_a_person_does_not_wait_for_a_rate_limit_while_there_is_somebody_else() -> None:
    assert way("rate_limited", steps=1, awaited=True) == ["other_deployment"]
    assert way("rate_limited", ELSEWHERE, steps=2, awaited=True) == ["retry_here", "retry_here"]
    assert way("rate_limited", ELSEWHERE, Action.RETRY_HERE, awaited=True) == ["stop"]


def test_text_that_cannot_be_shortened_goes_to_a_larger_context() -> None:
    step = next_step("context_too_long", [], impossible=[Action.SHORTEN])
    assert (step.action, step.where) == (ELSEWHERE, Where.LARGER_CONTEXT)


def test_a_deployments_failures_count_together_and_anothers_anew() -> None:
    progress = Progress()
    assert progress.next("malformed").action is Action.RETRY_HERE
    assert progress.next("server_error").action is ELSEWHERE
    assert progress.next("malformed").action is Action.RETRY_HERE


def test_a_move_for_another_reason_leaves_a_filtered_question_its_second_opinion() -> None:
    progress = Progress()
    assert progress.next("timeout").action is ELSEWHERE
    assert progress.next("content_filtered").action is ELSEWHERE
    assert progress.next("content_filtered").action is Action.STOP


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(MATRIX)), st.sets(st.sampled_from([*HERE, ELSEWHERE]))),
        max_size=30,
    )
)
def test_a_step_is_one_of_its_row_and_possible(failures: list[tuple[str, set[Action]]]) -> None:
    progress = Progress()
    for kind, impossible in failures:
        step = progress.next(kind, impossible=impossible)
        assert step in MATRIX[kind].steps
        assert step.action not in impossible


@given(st.sampled_from(sorted(MATRIX)), st.lists(st.sampled_from([*HERE, ELSEWHERE]), max_size=8))
def test_nothing_is_done_more_often_than_its_row_says(kind: str, done: list[Action]) -> None:
    step = next_step(kind, done)
    row = [each for each in MATRIX[kind].steps if each.action is step.action]
    if all(each.most is not None for each in row):
        assert done.count(step.action) < sum(each.most or 0 for each in row)


def deployment(name: str, provider: str, context_tokens: int | None = None) -> Candidate:
    found = Candidate(uuid7(), name, provider, "model", "standard", "model")
    return replace(found, context_tokens=context_tokens)


SMALL, UNKNOWN = deployment("small", "openai", 8_000), deployment("unknown", "openai")
LARGE, EQUAL = deployment("large", "azure", 128_000), deployment("equal", "azure", 8_000)
REST = [UNKNOWN, LARGE, EQUAL]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where.NEXT, ["unknown", "large", "equal"]),
        (Where.OTHER_PROVIDER, ["large", "equal"]),
        (Where.OTHER_PROVIDER_FIRST, ["large", "equal", "unknown"]),
        (Where.LARGER_CONTEXT, ["large", "unknown"]),
        (Where.CHEAPER, ["unknown", "large", "equal"]),  # nothing is known of prices
    ],
)
def test_who_comes_into_question_after_a_deployment(where: Where, expected: list[str]) -> None:
    assert [each.name for each in successors(where, present=SMALL, rest=REST)] == expected


def test_after_a_refusal_of_the_budget_only_cheaper_ones_come_into_question() -> None:
    prices = {SMALL: "2", UNKNOWN: "1.5", LARGE: "1", EQUAL: "2"}
    costs = Costs({each.id: Rate(Decimal(price)) for each, price in prices.items()}, 1000, 1000)

    found = successors(Where.CHEAPER, present=SMALL, rest=REST, costs=costs)

    assert found == [LARGE, UNKNOWN]


def test_a_budget_for_one_provider_leaves_the_others_dearer_ones_too() -> None:
    prices = {SMALL: "2", UNKNOWN: "1.5", LARGE: "3", EQUAL: "1"}
    costs = Costs({each.id: Rate(Decimal(price)) for each, price in prices.items()}, 1000, 1000)

    found = successors(Where.CHEAPER, present=SMALL, rest=REST, costs=costs, others_are_free=True)

    assert found == [LARGE, EQUAL, UNKNOWN]
