"""How Celery speaks with its broker, where kombu's own way would be slow or end a worker."""

from typing import Any

import kombu
from celery.app.amqp import AMQP
from kombu.transport import redis


class _Channel(redis.Channel):
    """Keeps its client. Kombu makes one for each command, which takes longer than the command does."""

    _kept: tuple[Any, Any] = (None, None)

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:  # those have a connection of their own
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # kombu is untyped in part
        pool, client = self._kept
        if pool is not self.pool:  # which is another one after a disconnection
            client = super()._create_client()  # type: ignore[misc]  # likewise
            self._kept = (self.pool, client)
        return client


class _Transport(redis.Transport):
    Channel = _Channel


class Connection(kombu.Connection):
    """Notices within a second that the broker is back; Celery's own waits grow to half a minute."""

    def get_transport_cls(self) -> Any:
        chosen = super().get_transport_cls()
        return _Transport if chosen is redis.Transport else chosen

    def _do_close_transport(self) -> None:
        """Leave the transport its client, which kombu takes away.

        On Redis a task that was begun before the connection was lost is acknowledged through it, and the
        worker would end of an AttributeError.
        """
        self._transport = None

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(
            *args, **{"interval_start": 0.2, "interval_step": 0.2, "interval_max": 1, **kwargs}
        )


class Amqp(AMQP):
    Connection = Connection
