import time
from collections.abc import Callable

import pytest

from apps.messaging.services.pressure import BACKLOG_CALM_S, CALM_S, LATE_S, TURNS_AT_LEAST, Pressure, Turns


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many seconds go by; otherwise time stands still."""
    now = 100.0

    def go_on(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now)
    return go_on


def test_late_messages_hold_claims_until_they_are_history(go_on: Callable[[float], None]) -> None:
    pressure = Pressure()
    assert not pressure.is_high
    pressure.note(2 * LATE_S)
    assert pressure.is_high
    go_on(0.2)
    assert not pressure.is_high
    assert pressure.queueing == 0
    go_on(2)
    assert pressure.queueing is None


def test_messages_queue_for_as_long_as_they_are_later_than_the_soonest(
    go_on: Callable[[float], None],
) -> None:
    pressure, far = Pressure(), 10 * BACKLOG_CALM_S
    for _ in range(100):
        pressure.note(far)
    assert pressure.queueing == pytest.approx(0)
    for _ in range(100):
        pressure.note(far + 0.1)
    assert pressure.queueing == pytest.approx(0.1, rel=0.01)


def test_one_lucky_message_is_not_believed_for_ever(go_on: Callable[[float], None]) -> None:
    pressure = Pressure()
    pressure.note(0.01)
    for _ in range(60):
        go_on(1)
        pressure.note(0.5)
    assert pressure.queueing == pytest.approx(0)


@pytest.mark.usefixtures("go_on")
def test_one_late_message_among_many_holds_nothing() -> None:
    pressure = Pressure()
    pressure.note(CALM_S)
    pressure.note(4 * LATE_S)
    assert not pressure.is_high
    for _ in range(10):
        pressure.note(2 * LATE_S)
    assert pressure.is_high


@pytest.mark.usefixtures("go_on")
@pytest.mark.parametrize(("delay", "share"), [(0, 100), (CALM_S, 100), (4 * CALM_S, 25), (100 * CALM_S, 10)])
def test_the_later_messages_are_the_less_is_claimed(delay: float, share: int) -> None:
    pressure = Pressure()
    pressure.note(delay)
    assert pressure.share(100) == share


def _taught(*queueing: float | None) -> Turns:
    turns = Turns()
    for each in queueing:
        turns.learn(each, full=100)
    return turns


def test_a_backlog_gets_more_while_messages_are_soon_on_their_way_but_never_more_than_all() -> None:
    before = _taught().take()
    assert _taught(*[BACKLOG_CALM_S] * 10).take() > before
    assert _taught(*[BACKLOG_CALM_S] * 1000).take() == 100


def test_a_backlog_gets_the_less_the_later_messages_are() -> None:
    taken = [_taught(times * BACKLOG_CALM_S).take() for times in (1, 1.2, 1.5, 2)]
    assert taken == sorted(taken, reverse=True)
    assert taken[-1] < taken[1] < taken[0]


def test_a_backlog_goes_on_however_late_messages_are() -> None:
    turns = _taught(*[100 * BACKLOG_CALM_S] * 100)
    claims = 40
    assert sum(turns.take() for _ in range(claims)) == claims * TURNS_AT_LEAST


def test_where_no_message_was_sent_nothing_is_learnt_of_backlogs() -> None:
    assert _taught(*[None] * 100).take() == _taught().take()
