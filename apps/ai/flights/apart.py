"""The cache where it lives on another Redis than the flights: round trips of its own."""

from apps.ai.flights import counts
from apps.ai.flights.calls import Calls, stale
from apps.ai.flights.server import Server
from apps.ai.flights.turns import Answer, Ask, Hit, Stale
from apps.common.shared_redis import RedisAwayError, SharedRedis


class CacheApart:
    """Looks for answers and keeps them. While its Redis is away there are none, and none are kept."""

    def __init__(self, shared: SharedRedis) -> None:
        self._server = Server(shared)

    def get(self, ask: Ask, calls: Calls) -> Hit | Stale | None:
        """What is kept, as fresh or stale as it is."""
        if not ask.ttl.stale:
            return None
        try:
            (answer,) = self._server.run(calls.get(ask))
        except RedisAwayError:
            return None
        found = stale(answer) if self._server.accepted(answer) else None
        if found is not None and found.age < ask.ttl.fresh:
            return Hit(found.answer, found.age)
        return found

    def put(self, ask: Ask, answer: Answer, calls: Calls) -> None:
        """Keep an answer, if it is to be kept and there is room."""
        if not ask.ttl.stale:
            return
        try:
            (result,) = self._server.run(calls.put(ask, answer))
        except RedisAwayError:
            counts.written(counts.AWAY)
            return
        if self._server.accepted(result):
            counts.written(result)
