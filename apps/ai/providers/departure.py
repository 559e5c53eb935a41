"""Leave for a request to go out, waited for at the last moment.

A client takes as long for making a request as PostgreSQL for holding the money that it may cost. So it makes
it meanwhile, and asks here before anything is sent.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2

_leave: ContextVar[Callable[[], object] | None] = ContextVar("leave", default=None)


@contextmanager
def needs(leave: Callable[[], object]) -> Iterator[None]:
    """Requests that this thread makes within the block go out once `leave` returns, and not if it raises.

    It is asked again for a redirect.
    """
    token = _leave.set(leave)
    try:
        yield
    finally:
        _leave.reset(token)


def wait(_request: httpx2.Request) -> None:
    """A client's event hook."""
    if (leave := _leave.get()) is not None:
        leave()
