"""The `openai` clients, held to deadlines of whole calls."""

import ssl
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any, Generic, TypeVar

import httpx2
from openai import DefaultHttpxClient, OpenAI

from apps.ai.providers import departure
from apps.common.punctual import Punctual, begin

Client = TypeVar("Client", bound=OpenAI)

# At most so many calls at a time share a client.
MOST_CALLS = 20


class Clients(Generic[Client]):
    """Clients for one account: one, and while many calls are under way as many as these need.

    Where a call begins and where it ends, a client's pool looks at each of its connections, one thread at a
    time. With hundreds of them that is a good part of what a call costs, and all calls wait for it in turn.
    """

    def __init__(self, make: Callable[..., Client], **options: Any) -> None:
        self._make, self._options = make, options
        self._lock = Lock()
        self._calls: dict[Client, int] = {}
        # Whose calls have ended and aren't taken off yet.
        self._ended: deque[Client] = deque()

    @contextmanager
    def lent(self) -> Iterator[Client]:
        """One for a call, the first with room for it, so that few calls keep few connections warm."""
        with self._lock:
            self._take_back()
            client = next((each for each, calls in self._calls.items() if calls < MOST_CALLS), None)
            if client is None:
                client = connect(self._make, **self._options)
            self._calls[client] = self._calls.get(client, 0) + 1
        try:
            yield client
        finally:
            self._ended.append(client)
            # Not waited for: an abandoned stream is closed wherever its memory is freed, also where this
            # thread has the lock. Then whoever comes next takes it back.
            if self._lock.acquire(blocking=False):
                try:
                    self._take_back()
                finally:
                    self._lock.release()

    def _take_back(self) -> None:
        """Close those that are needed no longer, too: unused, a pool keeps what its server has hung up."""
        while self._ended:
            self._calls[self._ended.popleft()] -= 1
        while len(self._calls) > 1:
            last = next(reversed(self._calls))
            room = MOST_CALLS * (len(self._calls) - 1) - sum(self._calls.values())
            # With less room, each call more or less would make one and close it.
            if self._calls[last] or room < MOST_CALLS / 2:
                return
            del self._calls[last]
            last.close()


def connect(make: Callable[..., Client], **options: Any) -> Client:
    """A client with its pool of connections; retries are the orchestrator's alone.

    A call is over once it has taken its whole time-out from when its request was made, redirects and the wait
    for its leave included.
    """
    http = DefaultHttpxClient(verify=trusted(), event_hooks={"request": [begin, departure.wait]})
    # Proxies that the environment names have transports of their own. httpx2 lets nobody choose the backend.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            transport._pool._network_backend = Punctual(transport._pool._network_backend)
    client = make(max_retries=0, http_client=http, **options)
    weakref.finalize(client, http.close)
    return client


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """The authorities' certificates; to read them takes longer than to make all else of a client."""
    return httpx2.create_ssl_context()
