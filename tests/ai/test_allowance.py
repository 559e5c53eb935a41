"""What is set aside for deployments that come later."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.allowance import Allowance
from apps.ai.deadlines import BACKGROUND, CRITICAL, OPTIONAL, Deadlines

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Question:
    """Asked at START; some of its time may have gone by."""

    def __init__(self, deadlines: Deadlines, *, left: timedelta | None = None) -> None:
        self.ends_at = START + deadlines.total
        self.now = START if left is None else self.ends_at - left
        self.allowance = Allowance(deadlines, ends_at=self.ends_at, clock=lambda: self.now)

    def turn(self, *, later: int, takes: timedelta | None = None) -> timedelta:
        """The time-out that a deployment is given in its turn, of which it takes all, or so much."""
        self.allowance.begin_turn(later=later)
        given = self.allowance.timeout(MINUTE)
        self.allowance.attempted()
        self.now += given if takes is None else takes
        return given


def seconds(*numbers: float) -> list[timedelta]:
    return [timedelta(seconds=number) for number in numbers]


@pytest.mark.parametrize("deployments", [4, 5, 9])
def test_as_many_have_a_whole_attempt_as_there_are_attempts(deployments: int) -> None:
    question = Question(CRITICAL)
    turns = [question.turn(later=deployments - place) for place in range(1, 5)]
    assert turns == [CRITICAL.attempt] * 4
    assert not question.allowance.allows_another


def test_who_is_refused_takes_nothing_of_what_the_next_ones_have() -> None:
    question = Question(OPTIONAL)
    for later in (6, 5, 4):
        question.allowance.begin_turn(later=later)
    assert [question.turn(later=later) for later in (3, 2)] == seconds(1, 1)
    assert not question.allowance.allows_another


def test_time_that_somebody_waits_is_its_own_and_not_that_of_the_next() -> None:
    question = Question(CRITICAL)
    question.allowance.begin_turn(later=5)
    while question.allowance.allows_wait(timedelta(seconds=0.5)):
        question.now += timedelta(seconds=0.5)
    assert question.ends_at - question.now >= 3 * CRITICAL.attempt
    assert [question.turn(later=later) for later in (4, 3, 2)] == [CRITICAL.attempt] * 3


def test_where_time_is_not_enough_for_two_one_has_all_of_it() -> None:
    assert Question(CRITICAL, left=timedelta(seconds=7)).turn(later=3) == CRITICAL.attempt
    assert Question(CRITICAL, left=timedelta(seconds=2)).turn(later=3) == timedelta(seconds=2)
    two = Question(CRITICAL, left=timedelta(seconds=8))
    assert [two.turn(later=1), two.turn(later=0)] == seconds(3, 5)


def test_with_hardly_any_time_nobody_is_asked() -> None:
    assert Question(CRITICAL, left=timedelta(seconds=0.2)).allowance.allows_another
    assert not Question(CRITICAL, left=timedelta(seconds=0.19)).allowance.allows_another


def test_an_attempt_more_is_not_taken_from_who_comes_later() -> None:
    question = Question(CRITICAL)
    assert question.turn(later=2, takes=timedelta()) == CRITICAL.attempt
    assert question.allowance.allows_more_here
    question.allowance.attempted()
    assert not question.allowance.allows_more_here
    assert question.allowance.allows_another


@given(
    deadlines=st.sampled_from([CRITICAL, OPTIONAL, BACKGROUND]),
    deployments=st.integers(1, 9),
    refused=st.sets(st.integers(0, 8)),
    share=st.floats(0.01, 1),
)
def test_all_of_it_ends_in_time_and_reaches_as_many_as_there_are_attempts(
    deadlines: Deadlines, deployments: int, refused: set[int], share: float
) -> None:
    left = deadlines.total * share
    question, asked = Question(deadlines, left=left), 0
    for place in range(deployments):
        if not question.allowance.allows_another:
            break
        if place in refused:
            question.allowance.begin_turn(later=deployments - place - 1)
            continue
        half = min(deadlines.attempt / 2, question.ends_at - question.now)
        assert question.turn(later=deployments - place - 1) >= half - timedelta(microseconds=5)
        asked += 1
    assert question.now <= question.ends_at
    if left >= timedelta(seconds=0.2):
        in_time = max(round(left / deadlines.attempt), 1)
        assert asked >= min(1 + deadlines.retries, in_time, len(set(range(deployments)) - refused))
