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
from collections import deque
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import aiohttp
import structlog
import uvloop
from aiohttp.client import ClientTimeout
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from apps.messaging.timing import CONNECT_TIMEOUT, SEND_TIMEOUT

log = structlog.get_logger(__name__)

CONNECTIONS = 900
# So many calls of a batch begin at once, and as many more whenever some time has gone by.
MORE_AT_ONCE = 64
MORE_EVERY_S = 0.02
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
            # Where it is closed already there is nothing to reset; uvloop says so by a ValueError.
            with suppress(OSError, ValueError):
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
        self.loop = uvloop.new_event_loop()
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
    """Run the calls side by side; their answers, as soon as 100 are there or every 250 ms.

    A call that raises is logged and has no answer: the row that it was about is left to the sweep.
    """
    crowd = _Crowd(calls)
    running = asyncio.run_coroutine_threadsafe(crowd.run(), _client().loop)
    while answers := crowd.answers.get():
        yield answers
    running.result()


class _Crowd(Generic[Answer]):
    """Calls on the loop. Some begin at once, then one as another ends, and some more as time goes by.

    A quick platform so gets its messages over few connections, a slow one over many.
    """

    def __init__(self, calls: Iterable[Coroutine[Any, Any, Answer]]) -> None:
        self.answers: queue.SimpleQueue[list[Answer]] = queue.SimpleQueue()
        self._waiting = deque(calls)
        self._left = len(self._waiting)
        self._ready: list[Answer] = []
        self._running: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Until all have ended; then an empty list of answers says so."""
        flushed_at = time.monotonic()
        while self._left:
            self._begin(MORE_AT_ONCE)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), MORE_EVERY_S)
            if time.monotonic() - flushed_at >= RESULTS_EVERY_S:
                self._flush()
                flushed_at = time.monotonic()
        self._flush()
        self.answers.put([])

    def _begin(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            task = asyncio.ensure_future(self._call(self._waiting.popleft()))
            # The loop itself keeps no hold of its tasks.
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _call(self, call: Coroutine[Any, Any, Answer]) -> None:
        try:
            answer = await call
        except Exception as error:
            log.error("gateway.call_failed", error=repr(error), exc_info=error)
        else:
            self._ready.append(answer)
        self._left -= 1
        self._begin(1)
        if len(self._ready) >= RESULTS_AT_ONCE:
            self._flush()
        if not self._left:
            self._ended.set()

    def _flush(self) -> None:
        if self._ready:
            self.answers.put(self._ready)
            self._ready = []
