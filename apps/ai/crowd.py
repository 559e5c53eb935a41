"""How many questions a web process works on at a time, beside those that wait for somebody's answer.

Threads take turns at one processor. Were all to work whose answers come together, each other request of the
process would have its turn after every one of them. Whoever has never taken a place waits for none.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# While one of them waits for PostgreSQL, another one computes.
PLACES = 2

_free = threading.BoundedSemaphore(PLACES)
_thread = threading.local()


@contextmanager
def place() -> Iterator[None]:
    """Work on a question in one of the places, once there is one. Who has one already keeps it.

    Whoever waits for one must hold no database connection: those who have places need the pool's.
    """
    if _has_place():
        yield
        return
    with _free:
        _thread.has_place = True
        try:
            yield
        finally:
            _thread.has_place = False


@contextmanager
def away() -> Iterator[None]:
    """Wait for somebody, and leave one's place to others meanwhile."""
    if not _has_place():
        yield
        return
    _thread.has_place = False
    _free.release()
    try:
        yield
    finally:
        _free.acquire()
        _thread.has_place = True


def _has_place() -> bool:
    return getattr(_thread, "has_place", False)
