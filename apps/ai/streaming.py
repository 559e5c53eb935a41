"""Answers that reach their caller as server-sent events while they come.

What makes an answer runs in a thread of its own: it goes on to its end, and so to the settlement of its cost,
whether or not its caller is still there.
"""

import contextvars
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections
from rest_framework.utils.encoders import JSONEncoder

from apps.common.api import errors
from apps.common.errors import DomainError, UnavailableError

log = structlog.get_logger(__name__)

HEARTBEAT = timedelta(seconds=10)
_RETRY_AFTER = timedelta(seconds=5)
_OURS = DomainError("Something went wrong on our side. It has been logged.", code="server_error")


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event; `data` is made JSON as answers of the API are."""

    name: str
    data: Mapping[str, Any]


# Is given where to put events.
Producer = Callable[[Callable[[Event], None]], None]
_Queue = queue.SimpleQueue[Event | None]


def delta(text: str) -> Event:
    """A piece of the answer."""
    return Event("delta", {"text": text})


def done(generation: Mapping[str, Any]) -> Event:
    """The end: the generation, as the API shows it."""
    return Event("done", generation)


def failed(error: DomainError) -> Event:
    """The other end, in the one shape that errors of the API have."""
    return Event("error", errors.body(error.code, error.message, error.fields))


class Relay:
    """Runs producers, at most `threads` at a time.

    Threads hold up the end of the process: told to stop, it still lets them end. gunicorn gives its workers
    the graceful time-out for that, and then kills them.
    """

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._free = threading.BoundedSemaphore(threads)

    def run(self, produce: Producer, *, heartbeat: timedelta = HEARTBEAT) -> Iterator[Event | None]:
        """Take a place and start in it. Raises UnavailableError when all threads are busy."""
        with self.place() as place:
            return place.run(produce, heartbeat=heartbeat)

    @contextmanager
    def place(self) -> Iterator["Place"]:
        """A thread's place for the block, or for as long as what is started in it takes.

        Raises UnavailableError when all are taken: before anything has been done that costs.
        """
        if not self._free.acquire(blocking=False):
            raise self._busy()
        place = Place(self)
        try:
            yield place
        finally:
            if not place.is_used:
                self._free.release()

    def start(self, produce: Producer, events: _Queue) -> None:
        """For Place."""
        thread = threading.Thread(
            name="ai-stream",
            target=contextvars.copy_context().run,
            args=(self._produce, produce, events),
            daemon=False,  # whatever the caller's thread is
        )
        try:
            thread.start()
        except RuntimeError as error:
            raise self._busy() from error

    def _produce(self, produce: Producer, events: _Queue) -> None:
        try:
            produce(events.put)
        except DomainError as error:
            events.put(failed(error))
        except (OperationalError, InterfaceError) as error:
            events.put(failed(errors.database_away(error)))
        except Exception:  # the thread's outermost loop
            log.exception("ai.stream_failed")
            events.put(failed(_OURS))
        finally:
            try:
                connections.close_all()
            finally:
                self._free.release()
                events.put(None)

    def _busy(self) -> UnavailableError:
        text = f"All {self._threads} streams of this process are busy; ask without “stream”, or again later."
        return UnavailableError(text, code="streams_busy", retry_after=_RETRY_AFTER)


class Place:
    """One of a relay's threads, taken and not yet at work."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.is_used = False

    def run(self, produce: Producer, *, heartbeat: timedelta = HEARTBEAT) -> Iterator[Event | None]:
        """Start to produce at once; the events as they come, and None for each `heartbeat` without one.

        What the producer raises becomes the last event: a DomainError as such, anything else is logged.
        Raises UnavailableError if the process can have no more threads.
        """
        events: _Queue = queue.SimpleQueue()
        self._relay.start(produce, events)
        self.is_used = True
        return _listen(events, heartbeat.total_seconds())


@cache
def relay() -> Relay:
    """This process's own."""
    return Relay(threads=settings.AI_STREAMS)


def sse(events: Iterable[Event | None]) -> Iterator[bytes]:
    """Events as they go over the wire (HTML, 9.2.6); each None is a comment, which keeps the connection."""
    for event in events:
        yield b": keep-alive\n\n" if event is None else _encode(event)


def _listen(events: _Queue, seconds: float) -> Iterator[Event | None]:
    while True:
        try:
            event = events.get(timeout=seconds)
        except queue.Empty:
            yield None
        else:
            if event is None:
                return
            yield event


def _encode(event: Event) -> bytes:
    # JSON has no raw line break, which would end the field; half a surrogate pair has no UTF-8.
    data = json.dumps(event.data, cls=JSONEncoder, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event.name}\ndata: {data}\n\n".encode("utf-8", "replace")
