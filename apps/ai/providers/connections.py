"""The `openai` clients, held to deadlines of whole calls."""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2
from openai import DefaultHttpxClient, OpenAI

from apps.ai.providers import departure
from apps.common.punctual import Punctual, begin

Client = TypeVar("Client", bound=OpenAI)


def connect(make: Callable[..., Client], **options: Any) -> Client:
    """A client with its pool of connections; retries are the orchestrator's alone.

    A call is over once it has taken its whole time-out from when its request was made, redirects and the wait
    for its leave included.
    """
    http = DefaultHttpxClient(event_hooks={"request": [begin, departure.wait]})
    # Proxies that the environment names have transports of their own. httpx2 lets nobody choose the backend.
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx2.HTTPTransport):
            transport._pool._network_backend = Punctual(transport._pool._network_backend)
    client = make(max_retries=0, http_client=http, **options)
    weakref.finalize(client, http.close)
    return client
