"""A Redis that may be away, or refuse to run the script, without anybody failing over it."""

from typing import Any

import redis
import structlog

from apps.common.shared_redis import Call, Sent, SharedRedis

log = structlog.get_logger(__name__)


class Server:
    """One Redis, and whether it refused the script when it was last asked to run it."""

    def __init__(self, shared: SharedRedis) -> None:
        self._shared = shared
        self._refuses = False

    def run(self, *calls: Call) -> list[Any]:
        """See SharedRedis.run. Raises RedisAwayError."""
        return self._shared.run(*calls)

    def send(self, *calls: Call) -> Sent:
        """See SharedRedis.send."""
        return self._shared.send(*calls)

    def accepted(self, answer: Any) -> bool:
        """Whether the script ran. What stops it (a disk that is full) lasts, so only changes are logged."""
        refuses = isinstance(answer, redis.ResponseError)
        if refuses != self._refuses:
            self._refuses = refuses
            if refuses:
                log.warning("flights.refused", error=str(answer))
            else:
                log.info("flights.accepted")
        return not refuses
