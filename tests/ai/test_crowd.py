"""Who works on a question, and who waits for somebody meanwhile."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from apps.ai import crowd

OTHERS = 6


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(crowd.PLACES + OTHERS) as made:
        yield made


def test_so_many_work_at_a_time_and_the_others_have_their_turn(pool: ThreadPoolExecutor) -> None:
    here, lock = 0, threading.Lock()
    # All who find a place meet here: nobody leaves before it is known how many they are.
    meet = threading.Barrier(crowd.PLACES)

    def work() -> int:
        nonlocal here
        with crowd.place():
            with lock:
                here += 1
                seen = here
            meet.wait(30)
            with lock:
                here -= 1
            meet.wait(30)
            return seen

    rounds = 3
    found = list(pool.map(lambda _: work(), range(crowd.PLACES * rounds)))

    assert sorted(found) == sorted(list(range(1, crowd.PLACES + 1)) * rounds)


def test_who_waits_for_somebody_leaves_the_place_to_others(pool: ThreadPoolExecutor) -> None:
    everybody = threading.Barrier(crowd.PLACES + OTHERS)

    def wait() -> None:
        with crowd.place(), crowd.away():
            everybody.wait(30)

    for waiting in [pool.submit(wait) for _ in range(crowd.PLACES + OTHERS)]:
        waiting.result(60)


def test_who_has_a_place_takes_no_second_one_and_gives_it_back_after_an_error() -> None:
    for _ in range(crowd.PLACES + 1):
        with pytest.raises(ZeroDivisionError), crowd.place(), crowd.place(), crowd.away():
            raise ZeroDivisionError
    free = [crowd._free.acquire(blocking=False) for _ in range(crowd.PLACES + 1)]
    for _ in filter(None, free):
        crowd._free.release()
    assert free == [True] * crowd.PLACES + [False]


def test_who_has_no_place_is_not_away() -> None:
    with crowd.away():
        assert not crowd._has_place()
    assert not crowd._has_place()
