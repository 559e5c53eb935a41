"""Where a question is begun and ended: the cache of answers, and flights that identical questions share.

Nobody depends on it. While Redis is away, or can't take a write, every question leads a flight of its own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import redis
import structlog
from django.conf import settings

from apps.ai.flights.calls import Calls, heard, own_list, stale, turn
from apps.ai.flights.counts import cache_writes
from apps.ai.flights.keeper import BEAT, Keeper
from apps.ai.flights.turns import Again, Answer, Ask, Begun, Hit, Join, Lead, Stale, Told
from apps.common.shared_redis import Call, RedisAwayError, SharedRedis

log = structlog.get_logger(__name__)


class Desk:
    """`flights` and `cache` may be one Redis, and are one round trip then. Threads may share it.

    `cap`: bytes that the cached answers of one tenant may take. `now`: milliseconds since 1970; by default
    Redis's own clock. `beat`: how often to look which leases have to be extended.
    """

    def __init__(
        self,
        *,
        flights: SharedRedis,
        cache: SharedRedis,
        cap: int,
        now: Callable[[], int | None] = lambda: None,
        beat: timedelta = BEAT,
    ) -> None:
        self.flights, self.cache = flights, cache
        self._together = flights is cache
        self._cap, self._now = cap, now
        self._refusing: set[SharedRedis] = set()
        self.keeper = Keeper(self._extend_all, beat=beat)

    def begin(self, ask: Ask, extra: Sequence[Call] = ()) -> Begun:
        """Look for an answer, join whoever asks the same, or lead. `extra` rides along to the flights' Redis.

        One round trip where the cache is the flights' Redis. Never fails: see Lead.ticket.
        """
        if self._together:
            return self._begin(ask, extra, cached=True)
        found = self._get(ask)
        if isinstance(found, Hit):
            return Begun(found, None)
        begun = self._begin(ask, extra, cached=False)
        if isinstance(begun.turn, Join):
            return Begun(Join(ask, begun.turn.lease_left, found), begun.extra)
        if isinstance(begun.turn, Lead):
            return self._begin_apart(ask, begun, begun.turn.ticket)
        return begun

    def wait(self, join: Join, *, seconds: float) -> Told:
        """Hear what comes of a flight, for as long as its lease lasts and no longer than that.

        Again also where nothing came: the leader may have died, or only worked on.
        """
        patience = min(join.lease_left.total_seconds(), seconds)
        try:
            item = self.flights.pop(own_list(join.ask), seconds=patience)
        except RedisAwayError:
            return Again()
        return Again() if item is None else heard(item)

    def follow(self, join: Join, *, time_left: Callable[[], timedelta], extra: Sequence[Call] = ()) -> Begun:
        """Wait, and begin again as often as it takes, until there is an answer or the caller's turn to lead.

        Still a Join when `time_left` says that there is none.
        """
        begun = Begun(join, None)
        while isinstance(begun.turn, Join) and (left := time_left()) > timedelta():
            told = self.wait(begun.turn, seconds=left.total_seconds())
            if not isinstance(told, Again):
                return Begun(told, None)
            if time_left() > timedelta():
                begun = self.begin(join.ask, extra)
        return begun

    def extend(self, ticket: Ask, lease: timedelta) -> bool:
        """Keep the flight for so long from now; False if others have taken it over. Raises RedisAwayError."""
        (answer,) = self.flights.run(self._calls().extend(ticket, lease))
        self._understood(answer, self.flights)
        return bool(answer != 0)

    @contextmanager
    def kept(self, ticket: Ask | None, *, at_most: timedelta) -> Iterator[None]:
        """Extend the lease, whenever it needs it, for as long as the block runs and no longer than that.

        A process that dies stops to, and is missed within the lease; so does one that hangs, after `at_most`.
        """
        if ticket is None:
            yield
            return
        with self.keeper.kept(ticket, at_most=at_most):
            yield

    def end(self, ticket: Ask | None, told: Told, extra: Sequence[Call] = ()) -> list[Any] | None:
        """Tell everybody who joined, end the flight, and cache an answer.

        Returns the answers of `extra`, None while Redis is away. If others have taken the flight over, or it never
        was the caller's (the Ask of a `fresh` question or a stream, which didn't begin), an answer is cached and
        nothing else happens. Without a ticket only `extra` runs. One round trip where the cache is the flights'
        Redis. Raises ValueError or TypeError for what isn't JSON.
        """
        calls = list(extra)
        if ticket is not None:
            if not self._together and isinstance(told, Answer):
                self._put(ticket, told)
            calls.insert(0, self._calls().end(ticket, told, cached=self._together))
        answers = self._run(calls)
        if ticket is None or answers is None:
            return answers
        ended, *rest = answers
        if self._understood(ended, self.flights) and self._together:
            _count(ended[1])
        return rest

    def _begin(self, ask: Ask, extra: Sequence[Call], *, cached: bool) -> Begun:
        answers = self._run([self._calls().begin(ask, cached=cached), *extra])
        if answers is None:
            return Begun(Lead(None), None)
        begun, *rest = answers
        is_understood = self._understood(begun, self.flights)
        return Begun(turn(ask, begun) if is_understood else Lead(None), rest)

    def _begin_apart(self, ask: Ask, begun: Begun, ticket: Ask | None) -> Begun:
        """Look again: since the first look a flight may have ended, and from now on nobody else's can."""
        found = self._get(ask)
        if isinstance(found, Hit):
            if ticket is not None:
                self._run([self._calls().end(ticket, Answer(found.answer), cached=False)])
            return Begun(found, begun.extra)
        return Begun(Lead(ticket, found), begun.extra)

    def _get(self, ask: Ask) -> Hit | Stale | None:
        if not ask.ttl.stale:
            return None
        try:
            (answer,) = self.cache.run(self._calls().get(ask))
        except RedisAwayError:
            return None
        found = stale(answer) if self._understood(answer, self.cache) else None
        if found is not None and found.age < ask.ttl.fresh:
            return Hit(found.answer, found.age)
        return found

    def _put(self, ask: Ask, answer: Answer) -> None:
        try:
            (result,) = self.cache.run(self._calls().put(ask, answer))
        except RedisAwayError:
            result = b"away"
        if self._understood(result, self.cache):
            _count(result)

    def _run(self, calls: Sequence[Call]) -> list[Any] | None:
        try:
            return self.flights.run(*calls) if calls else []
        except RedisAwayError:
            return None

    def _extend_all(self, tickets: Sequence[Ask]) -> list[bool] | None:
        answers = self._run([self._calls().extend(each, each.lease) for each in tickets])
        return None if answers is None else [answer != 0 for answer in answers]

    def _understood(self, answer: Any, server: SharedRedis) -> bool:
        """Whether the script ran. What stops it (a disk that is full) lasts, so only changes are logged."""
        if isinstance(answer, redis.ResponseError):
            if server not in self._refusing:
                self._refusing.add(server)
                log.warning("flights.refused", error=str(answer))
            return False
        if server in self._refusing:
            self._refusing.discard(server)
            log.info("flights.accepted")
        return True

    def _calls(self) -> Calls:
        return Calls(cap=self._cap, now=self._now())


def _count(result: bytes) -> None:
    if result != b"not_asked":
        cache_writes.labels(result.decode()).inc()


_desks: dict[tuple[str, str, int], Desk] = {}
_making = threading.Lock()


def desk() -> Desk:
    """The process's desk, as the settings have it."""
    key = (settings.REDIS_URL, settings.CACHE_REDIS_URL, settings.AI_CACHE_BYTES)
    with _making:
        if key not in _desks:
            flights = SharedRedis(settings.REDIS_URL)
            cache = flights if settings.CACHE_IS_REDIS else SharedRedis(settings.CACHE_REDIS_URL)
            _desks[key] = Desk(flights=flights, cache=cache, cap=settings.AI_CACHE_BYTES)
        return _desks[key]
