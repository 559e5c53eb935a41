"""HTTP calls that are over when their whole time is.

httpx2 limits each wait by itself, so what trickles would never be too late. Here the limits of a request know
when the whole is over, and the connections below httpx2 wait until then at most, however often they begin to.
"""

import socket
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Any

import httpcore2
import httpx2

_CONNECT = timedelta(seconds=5)
_WAITS = ("connect", "read", "write")
_SHORTEST_S = 0.001


@lru_cache(maxsize=64)
def limits(timeout: timedelta, idle: timedelta | None = None) -> httpx2.Timeout:
    """`timeout` for the whole of a call, `idle` for each silence in it, also the one before the answer."""
    silence = timeout if idle is None else min(idle, timeout)
    connect = min(timeout, _CONNECT)
    return httpx2.Timeout(
        timeout.total_seconds(), read=silence.total_seconds(), connect=connect.total_seconds()
    )


class _Wait(float):
    """Seconds that one wait may last, if `ends_at`, by the monotonic clock, isn't sooner."""

    ends_at: float

    @classmethod
    def until(cls, ends_at: float, seconds: float) -> "_Wait":
        wait = cls(seconds)
        wait.ends_at = ends_at
        return wait


def begin(request: httpx2.Request) -> None:
    """A client's event hook: from here the whole time of a request runs, redirects included."""
    waits = request.extensions.get("timeout", {})
    # The wait for a free connection is limited by the whole time-out, so this is where it stands.
    whole = waits.get("pool")
    if whole is None or isinstance(waits["read"], _Wait):  # a redirect has the waits of what it goes on with
        return
    ends_at = time.monotonic() + whole
    waits.update({name: _Wait.until(ends_at, waits[name]) for name in _WAITS})


def _left(wait: float | None, too_late: type[Exception]) -> float | None:
    if not isinstance(wait, _Wait):
        return wait
    left = wait.ends_at - time.monotonic()
    if left <= 0:
        raise too_late("the answer was still coming when its time was up")
    return min(wait, left)


class _Stream(httpcore2.NetworkStream):
    """A connection whose waits end when the whole call does."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(timeout, httpcore2.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name, best first. Raises httpcore2.ConnectError if there are none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore2.ConnectError(f"{host} can't be looked up ({error.strerror or error})") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Punctual(httpcore2.NetworkBackend):
    """Makes such connections, to the first of a name's addresses that answers in its share of the time."""

    def __init__(
        self, backend: httpcore2.NetworkBackend, look_up: Callable[[str, int], list[str]] = look_up
    ) -> None:
        self._backend, self._look_up = backend, look_up

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = self._look_up(host, port)
        left = _left(timeout, httpcore2.ConnectTimeout)
        ends_at = None if left is None else time.monotonic() + left
        for tried, address in enumerate(addresses):
            untried = len(addresses) - tried
            share = None if ends_at is None else max(ends_at - time.monotonic(), _SHORTEST_S) / untried
            try:
                stream = self._backend.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if untried == 1:
                    raise
            else:
                return _Stream(stream)
        raise httpcore2.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)
