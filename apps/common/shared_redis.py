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
        return self._ask(lambda connection: _run(connection, calls))

    def pop(self, key: str, *, seconds: float) -> bytes | None:
        """Take the first item of a list, waiting for one for as long as that; None if there was none.

        Raises RedisAwayError, also where it goes away meanwhile.
        """
        return self._ask(lambda connection: _pop(connection, key, seconds))

    def close(self) -> None:
        """Close all connections, also those that somebody waits on; further calls make new ones."""
        self._pool.disconnect()

    def _ask(self, question: Callable[[Any], Answer]) -> Answer:
        began, taken = self._begin(), None
        try:
            taken = self._pool.get_connection()
            answer = question(taken)
        except (redis.RedisError, OSError) as error:
            if taken is not None:
                taken.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it out
            self._failed(error, began)
            raise RedisAwayError(f"{type(error).__name__}: {error}") from error
        except BaseException:  # an answer may still be under way on it
            if taken is not None:
                taken.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it out
            raise
        finally:
            if taken is not None:
                self._pool.release(taken)
        if self.is_away:
            self._came_back(began)
        return answer

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

    def _failed(self, error: Exception, began: int) -> None:
        with self._lock:
            if self._changes != began:
                return
            was_away, self._asks_again_at = self.is_away, time.monotonic() + PAUSE_S
            self._changes += not was_away
        if not was_away:
            log.warning("redis.away", error=f"{type(error).__name__}: {error}")

    def _came_back(self, began: int) -> None:
        with self._lock:
            if self._changes != began or not self.is_away:
                return
            self._asks_again_at = 0.0
            self._changes += 1
        log.info("redis.back")


@cache
def shared_redis(url: str) -> SharedRedis:
    """The process's own of a server: whoever finds it away finds so for all."""
    return SharedRedis(url)


def _run(connection: Any, calls: Sequence[Call]) -> list[Any]:
    answers = _send(connection, [call.words for call in calls])
    unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        # A server that was started anew, or flushed of its scripts.
        loads = [("SCRIPT", "LOAD", calls[place].script.text) for place in unknown]
        _send(connection, loads)
        again = _send(connection, [calls[place].words for place in unknown])
        for place, answer in zip(unknown, again, strict=True):
            answers[place] = answer
    return answers


def _send(connection: Any, commands: Sequence[Words]) -> list[Any]:
    connection.send_packed_command(connection.pack_commands(commands))
    return [_answer(connection) for _ in commands]


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
