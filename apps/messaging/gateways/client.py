"""One kept-alive asynchronous HTTP client per process, on a thread of its own, for callers that are threads.

A caller hands over any number of calls and takes results as they come; meanwhile it holds but its thread.
"""

import asyncio
import atexit
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import structlog
from aiohttp.client import ClientTimeout
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from apps.messaging.timing import CONNECT_TIMEOUT, SEND_TIMEOUT

log = structlog.get_logger(__name__)

CONNECTIONS = 512
RESULTS_AT_ONCE = 100
RESULTS_EVERY_S = 0.25
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Answer = TypeVar("Answer")


class TooLateError(Exception):
    """A connection was had, but only after the time by which the request had to be written."""


@dataclass(slots=True)
class Attempt:
    """One request's passage through the client. While `transport` is None, nothing was written."""

    write_by: float
    transport: asyncio.Transport | None = None

    def reset(self) -> None:
        """Reset the connection, if there is one, so that nothing of the request is delivered later."""
        if self.transport is None:
            return
        found: socket.socket | None = self.transport.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


attempt_in_hand: ContextVar[Attempt] = ContextVar("attempt_in_hand")


class PunctualConnector(aiohttp.TCPConnector):
    """Looks at the clock between having a connection and writing to it; nothing is awaited in between."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:
        connection = await super().connect(req, traces, timeout)
        attempt = attempt_in_hand.get()
        if time.monotonic() > attempt.write_by:
            connection.release()
            raise TooLateError
        attempt.transport = connection.transport
        return connection


class _Client:
    """The loop's thread and its session; both live as long as the process."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="gateway-client", daemon=True).start()
        self.session = asyncio.run_coroutine_threadsafe(_open_session(), self.loop).result()
        atexit.register(self._close)

    def _close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.session.close(), self.loop).result(timeout=5)
        self.loop.call_soon_threadsafe(self.loop.stop)


async def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=PunctualConnector(limit=CONNECTIONS, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def patience() -> aiohttp.ClientTimeout:
    """How long a request may take, in its parts and in all."""
    return aiohttp.ClientTimeout(
        total=SEND_TIMEOUT.total_seconds(),
        connect=CONNECT_TIMEOUT.total_seconds(),
        # aiohttp rounds longer time-outs than this up to whole seconds; the stamps allow none more.
        ceil_threshold=2 * SEND_TIMEOUT.total_seconds(),
    )


_clients: dict[int, _Client] = {}
_starting = threading.Lock()


def _client() -> _Client:
    # By process: a loop's thread doesn't survive a fork.
    with _starting:
        if os.getpid() not in _clients:
            _clients[os.getpid()] = _Client()
        return _clients[os.getpid()]


def session() -> aiohttp.ClientSession:
    return _client().session


def stream(calls: Iterable[Coroutine[Any, Any, Answer]]) -> Iterator[list[Answer]]:
    """Run the calls at once; their answers, as soon as 100 are there or every 250 ms.

    A call that raises is logged and has no answer: the row that it was about is left to the sweep.
    """
    client = _client()
    ended: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()

    async def run(call: Coroutine[Any, Any, Answer]) -> None:
        answer: Answer | None = None
        try:
            answer = await call
        finally:
            ended.put(answer)

    running = [asyncio.run_coroutine_threadsafe(run(call), client.loop) for call in calls]
    left = len(running)
    while left:
        batch = _take(ended, most=min(left, RESULTS_AT_ONCE))
        left -= len(batch)
        if answers := [answer for answer in batch if answer is not None]:
            yield answers
    for each in running:
        if error := each.exception():
            log.error("gateway.call_failed", error=repr(error), exc_info=error)


def _take(ended: "queue.SimpleQueue[Answer | None]", *, most: int) -> list[Answer | None]:
    """At least one answer, then those that come within 250 ms of it."""
    batch = [ended.get()]
    until = time.monotonic() + RESULTS_EVERY_S
    with suppress(queue.Empty):
        while len(batch) < most:
            batch.append(ended.get(timeout=max(0, until - time.monotonic())))
    return batch
