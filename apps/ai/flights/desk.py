"""Where a question is begun and ended: the cache of answers, and flights that identical questions share.

Nobody depends on it. While Redis is away, or can't take a write, every question leads a flight of its own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings

from apps.ai.flights import counts
from apps.ai.flights.apart import CacheApart
from apps.ai.flights.calls import Calls, heard, own_list, turn
from apps.ai.flights.keeper import BEAT, Keeper
from apps.ai.flights.server import Server
from apps.ai.flights.turns import Again, Answer, Ask, Begun, Hit, Join, Lead, Told
from apps.common.shared_redis import Call, RedisAwayError, Sent, SharedRedis, shared_redis


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
        self._server = Server(flights)
        self._apart = None if flights is cache else CacheApart(cache)
        self._cap, self._now = cap, now
        self.keeper = Keeper(self._extend_all, beat=beat)

    def begin(self, ask: Ask, extra: Sequence[Call] = ()) -> Begun:
        """Look for an answer, join whoever asks the same, or lead. `extra` rides along to the flights' Redis.

        One round trip where the cache is the flights' Redis. Never fails: see Lead.ticket.
        """
        if self._apart is None:
            return self._begin(ask, extra)
        calls = self._calls()
        found = self._apart.get(ask, calls)
        if isinstance(found, Hit):
            return Begun(found, None)
        begun = self._begin(ask, extra)
        if isinstance(begun.turn, Lead) and begun.turn.ticket is not None:
            # Since the first look a flight may have ended; from now on no other can.
            found = self._apart.get(ask, calls)
            if isinstance(found, Hit):
                self._try_run(calls.end(ask, Answer(found.answer), cached=False))
                return Begun(found, begun.extra)
        return begun.with_stale(found)

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
        (answer,) = self._server.run(self._calls().extend(ticket, lease))
        self._server.accepted(answer)
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

        Returns the answers of `extra`, None while Redis is away. If others have taken the flight over, or it
        never was the caller's (the Ask of a `fresh` question or a stream, which didn't begin), an answer is
        cached and nothing else happens. Without a ticket only `extra` runs. One round trip where the cache is
        the flights' Redis. Raises ValueError or TypeError for what isn't JSON.
        """
        return self.send_end(ticket, told, extra).answers()

    def send_end(self, ticket: Ask | None, told: Told, extra: Sequence[Call] = ()) -> "SentEnd":
        """The first half of `end`, for whoever has something else to do meanwhile."""
        if ticket is None:
            return SentEnd(self._server, self._server.send(*extra))
        calls, offers = self._calls(), isinstance(told, Answer)
        if self._apart is not None and isinstance(told, Answer):
            self._apart.put(ticket, told, calls)
            offers = False
        sent = self._server.send(calls.end(ticket, told, cached=self._apart is None), *extra)
        return SentEnd(self._server, sent, ends=True, offers=offers)

    def _begin(self, ask: Ask, extra: Sequence[Call]) -> Begun:
        answers = self._try_run(self._calls().begin(ask, cached=self._apart is None), *extra)
        if answers is None:
            return Begun(Lead(None), None)
        begun, *rest = answers
        return Begun(turn(ask, begun) if self._server.accepted(begun) else Lead(None), rest)

    def _try_run(self, *calls: Call) -> list[Any] | None:
        try:
            return self._server.run(*calls)
        except RedisAwayError:
            return None

    def _extend_all(self, tickets: Sequence[Ask]) -> list[bool] | None:
        answers = self._try_run(*(self._calls().extend(each, each.lease) for each in tickets))
        return None if answers is None else [answer != 0 for answer in answers]

    def _calls(self) -> Calls:
        return Calls(cap=self._cap, now=self._now())


class SentEnd:
    """What a flight's end sends. `answers` has to be asked for, whatever happens meanwhile.

    `ends`: the first of the answers is the flight's. `offers`: the cache is offered an answer.
    """

    def __init__(self, server: Server, sent: Sent, *, ends: bool = False, offers: bool = False) -> None:
        self._server, self._sent, self._ends, self._offers = server, sent, ends, offers

    def answers(self) -> list[Any] | None:
        """What `Desk.end` returns."""
        try:
            answers = self._sent.answers()
        except RedisAwayError:
            if self._offers:
                counts.written(counts.AWAY)
            return None
        if not self._ends:
            return answers
        ended, *rest = answers
        if self._server.accepted(ended):
            counts.written(ended[1])
        return rest


_desks: dict[tuple[str, str, int], Desk] = {}
_making = threading.Lock()


def desk() -> Desk:
    """The process's desk, as the settings have it."""
    key = (settings.REDIS_URL, settings.CACHE_REDIS_URL, settings.AI_CACHE_BYTES)
    with _making:
        if key not in _desks:
            flights = shared_redis(settings.REDIS_URL)
            cache = flights if settings.CACHE_IS_REDIS else shared_redis(settings.CACHE_REDIS_URL)
            _desks[key] = Desk(flights=flights, cache=cache, cap=settings.AI_CACHE_BYTES)
        return _desks[key]
