"""The connections of Celery to Redis as its broker."""

from collections.abc import Iterator
from typing import Any

import pytest

from huntaze.celery import app


@pytest.fixture
def channel() -> Iterator[Any]:
    with app.connection() as connection, connection.channel() as opened:
        yield opened


def test_one_client_sends_all_commands(channel: Any) -> None:
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
        assert first.ping()


def test_a_client_of_a_pool_that_was_closed_is_replaced(channel: Any) -> None:
    with channel.conn_or_acquire() as before:
        assert before.ping()
    channel._disconnect_pools()
    with channel.conn_or_acquire() as after:
        assert after is not before
        assert after.connection_pool is channel.pool
        assert after.ping()


def test_what_listens_has_a_client_of_its_own(channel: Any) -> None:
    with channel.conn_or_acquire() as sends:
        assert channel._create_client(asynchronous=True) is not sends
