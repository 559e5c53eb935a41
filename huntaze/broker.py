"""How Celery speaks with its broker, where its own and kombu's ways would be slow or end a worker."""

from typing import Any

import kombu
from celery.app.amqp import AMQP
from celery.worker import consumer
from kombu.transport import redis

# How long what happens to tasks may wait for more of it before it goes to Flower.
_EVENTS_WAIT_S = 0.2


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


class Consumer(consumer.Consumer):
    """Sends events of tasks some at a time; Celery sends what there is each time its loop comes round."""

    _flushing: Any = None

    def register_with_event_loop(self, hub: Any) -> None:
        super().register_with_event_loop(hub)
        if self._flushing is not None:  # of the connection before
            self._flushing.cancel()
        flush = self._flush_events  # type: ignore[attr-defined]  # the stubs don't know it
        self._flushing = hub.call_repeatedly(_EVENTS_WAIT_S, flush)

    def on_send_event_buffered(self) -> None:  # type: ignore[override]  # the stubs are wrong
        """They go in their turn, or once there are enough."""
