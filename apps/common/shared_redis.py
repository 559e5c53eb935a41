"""State that processes share in Redis, for callers who can go on without it.

Every call is one round trip with a short time-out. After a failure nobody asks for a second: callers are told
at once that it is away. Then one of them asks for all, and so on: its absence costs a process one time-out a
second.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, NoScriptError, ReadOnlyError
from redis.retry import Retry

log = structlog.get_logger(__name__)

PATIENCE_S = 0.25
# For so long nobody asks after a failure.
PAUSE_S = 1.0

Answer = TypeVar("Answer")
Words = Sequence[str | bytes | int | float]


class RedisAwayError(Exception):
    """It can't be reached, or was not a moment ago."""


class Script:
    """A Lua script, sent once per server and called by its hash."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.sha = hashlib.sha1(text, usedforsecurity=False).hexdigest()


class Call:
    """One call of a script: `keys`, then `arguments`."""

    def __init__(self, script: Script, keys: Words, arguments: Words) -> None:
        self.script = script
        self.words: Words = ("EVALSHA", script.sha, len(keys), *keys, *arguments)


class SharedRedis:
    """A pool of connections to one server. Threads may share it; each call has a connection of its own."""

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            max_connections=10_000,
        )
        self._lock = threading.Lock()
        self._asks_again_at = 0.0
        # How often it has gone away or come back. What a call finds out counts only if neither has happened
        # since it began: an answer from before a failure is no return, nor the reverse.
        self._changes = 0

    @property
    def is_away(self) -> bool:
        """Whether it failed when it was last asked."""
        return self._asks_again_at > 0

    def run(self, *calls: Call) -> list[Any]:
        """Call scripts in one round trip. An answer is the script's, or its error as a redis.ResponseError.

        Raises RedisAwayError.
        """
        return self.send(*calls).answers()

    def send(self, *calls: Call) -> "Sent":
        """The first half of `run`, for whoever has something else to do meanwhile. Never fails."""
        return Sent(self, calls)

    def pop(self, key: str, *, seconds: float) -> bytes | None:
        """Take the first item of a list, waiting for one for as long as that; None if there was none.

        Raises RedisAwayError, also where it goes away meanwhile.
        """
        taken = self._take()
        found = taken.do(lambda connection: _pop(connection, key, seconds))
        taken.give_back()
        return found

    def close(self) -> None:
        """Close all connections, also those that somebody waits on; further calls make new ones."""
        self._pool.disconnect()

    def _take(self) -> "_Taken":
        """A connection for one call. Raises RedisAwayError."""
        began = self._begin()
        try:
            return _Taken(self, self._pool.get_connection(), began)
        except (redis.RedisError, OSError) as error:
            raise self._failed(error, began) from error

    def _begin(self) -> int:
        """The changes until now. Raises RedisAwayError, also where somebody else asks after a pause."""
        if self.is_away:
            with self._lock:
                now = time.monotonic()
                if now < self._asks_again_at:
                    raise RedisAwayError("it was away a moment ago")
                if self.is_away:
                    self._asks_again_at = now + PAUSE_S
        return self._changes

    def _failed(self, error: Exception, began: int) -> RedisAwayError:
        """Note that it is away; what to tell the caller."""
        words = f"{type(error).__name__}: {error}"
        with self._lock:
            is_news = self._changes == began and not self.is_away
            if self._changes == began:
                self._asks_again_at = time.monotonic() + PAUSE_S
                self._changes += is_news
        if is_news:
            log.warning("redis.away", error=words)
        return RedisAwayError(words)

    def _came_back(self, began: int) -> None:
        with self._lock:
            if self._changes != began or not self.is_away:
                return
            self._asks_again_at = 0.0
            self._changes += 1
        log.info("redis.back")


class _Taken:
    """A connection that serves one call, and goes back whatever comes of it."""

    def __init__(self, shared: SharedRedis, connection: Any, began: int) -> None:
        self._shared, self._connection, self._began = shared, connection, began

    def do(self, step: Callable[[Any], Answer]) -> Answer:
        """One step of the call; if it fails, the call is over. Raises RedisAwayError."""
        try:
            return step(self._connection)
        except (redis.RedisError, OSError) as error:
            self._discard()
            raise self._shared._failed(error, self._began) from error
        except BaseException:  # an answer may still be under way on it
            self._discard()
            raise

    def give_back(self) -> None:
        """The call has succeeded."""
        self._shared._pool.release(self._connection)
        if self._shared.is_away:
            self._shared._came_back(self._began)

    def _discard(self) -> None:
        self._connection.disconnect()
        self._shared._pool.release(self._connection)


class Sent:
    """Calls under way. `answers` has to be asked for, whatever happens meanwhile."""

    def __init__(self, shared: SharedRedis, calls: Sequence[Call]) -> None:
        self._calls = calls
        self._taken: _Taken | None = None
        self._failure: RedisAwayError | None = None
        if not calls:
            return
        try:
            self._taken = shared._take()
            self._taken.do(lambda connection: _send(connection, [call.words for call in calls]))
        except RedisAwayError as error:
            self._failure = error

    def answers(self) -> list[Any]:
        """What `SharedRedis.run` returns. Raises RedisAwayError."""
        if self._failure is not None:
            raise self._failure
        if self._taken is None:
            return []
        found = self._taken.do(lambda connection: _hear(connection, self._calls))
        self._taken.give_back()
        return found


@cache
def shared_redis(url: str) -> SharedRedis:
    """The process's own of a server: whoever finds it away finds so for all."""
    return SharedRedis(url)


def _hear(connection: Any, calls: Sequence[Call]) -> list[Any]:
    answers = _answers(connection, len(calls))
    unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        # A server that was started anew, or flushed of its scripts.
        _ask(connection, [("SCRIPT", "LOAD", calls[place].script.text) for place in unknown])
        again = _ask(connection, [calls[place].words for place in unknown])
        for place, answer in zip(unknown, again, strict=True):
            answers[place] = answer
    return answers


def _ask(connection: Any, commands: Sequence[Words]) -> list[Any]:
    _send(connection, commands)
    return _answers(connection, len(commands))


def _send(connection: Any, commands: Sequence[Words]) -> None:
    connection.send_packed_command(connection.pack_commands(commands))


def _answers(connection: Any, number: int) -> list[Any]:
    return [_answer(connection) for _ in range(number)]


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        if isinstance(error, BusyLoadingError | ReadOnlyError):
            raise
        return error


def _pop(connection: Any, key: str, seconds: float) -> bytes | None:
    seconds = max(seconds, 0.002)  # 0 would be for ever, and Redis 6.2 makes 0 of a single millisecond
    connection.send_command("BLPOP", key, f"{seconds:.3f}")
    if not connection.can_read(timeout=seconds + PATIENCE_S):
        raise redis.TimeoutError("it said nothing")
    found = connection.read_response()
    return found[1] if found else None
