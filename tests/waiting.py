"""Wait for a condition, with a deadline, instead of for some time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class TooLateError(AssertionError):
    """The deadline has passed."""


def wait_until(condition: Callable[[], T], *, seconds: float, what: str, every: float = 0.1) -> T:
    """Ask until the answer is truthy, and return it. Raises TooLateError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TooLateError(f"after {seconds:g} s still waiting for {what}: {answer!r}")
        time.sleep(every)
    return answer
