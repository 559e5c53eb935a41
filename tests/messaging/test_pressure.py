import time
from collections.abc import Callable

import pytest

from apps.messaging.services.pressure import CALM_S, LATE_S, Pressure


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
