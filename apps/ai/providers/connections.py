"""The `openai` clients, and the deadline for the whole of an answer that they keep to.

httpx2 limits each wait for bytes alone: an answer that trickles would never be too late.
"""

import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import httpx2
from openai import DefaultHttpxClient, OpenAI

Client = TypeVar("Client", bound=OpenAI)

_CONNECT = timedelta(seconds=5)
_BEGAN = "huntaze.began"


@lru_cache(maxsize=64)
def limits(timeout: timedelta, idle: timedelta | None = None) -> httpx2.Timeout:
    """`timeout` for the whole of a call, `idle` for each silence in it, also the one before the answer."""
    silence = timeout if idle is None else min(idle, timeout)
    connect = min(timeout, _CONNECT)
    return httpx2.Timeout(
        timeout.total_seconds(), read=silence.total_seconds(), connect=connect.total_seconds()
    )


def connect(make: Callable[..., Client], **options: Any) -> Client:
    """A client with its pool of connections; retries are the orchestrator's alone.

    Answers are cut off once a call has taken its whole time-out. A silence that begins before that is waited
    out, for as long at most as was left when the body began.
    """
    http = DefaultHttpxClient(event_hooks={"request": [_begin], "response": [_bound]})
    client = make(max_retries=0, http_client=http, **options)
    weakref.finalize(client, http.close)
    return client


def _begin(request: httpx2.Request) -> None:
    request.extensions[_BEGAN] = time.monotonic()


def _bound(response: httpx2.Response) -> None:
    extensions = response.request.extensions
    # The wait for a free connection is limited by the whole time-out, so this is where it stands.
    whole = extensions.get("timeout", {}).get("pool")
    if whole is not None and isinstance(response.stream, httpx2.SyncByteStream):
        ends_at = extensions[_BEGAN] + whole
        # What is left for the body limits each of its silences.
        left = max(ends_at - time.monotonic(), 0.001)
        extensions["timeout"]["read"] = min(extensions["timeout"]["read"], left)
        response.stream = _Bounded(response.stream, ends_at)


class _Bounded(httpx2.SyncByteStream):
    """The bytes that come before a moment of the monotonic clock."""

    def __init__(self, stream: httpx2.SyncByteStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            if time.monotonic() > self._ends_at:
                raise httpx2.ReadTimeout("the answer was still coming when its time was up")
            yield part

    def close(self) -> None:
        self._stream.close()

    @property
    def elapsed(self) -> timedelta | None:
        elapsed: timedelta | None = getattr(self._stream, "elapsed", None)
        return elapsed
