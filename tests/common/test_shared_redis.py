"""Whether a Redis is away, as several callers find out at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
import redis

from apps.common import shared_redis
from apps.common.shared_redis import Call, RedisAwayError, Script, SharedRedis

PONG = Call(Script(b"return 'pong'"), [], [])


@pytest.fixture
def client() -> Iterator[SharedRedis]:
    made = SharedRedis(os.environ["REDIS_URL"])
    yield made
    made.close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_redis, "PAUSE_S", 0)


@contextmanager
def broken(step: str) -> Iterator[None]:
    """Connections break at that step of a call."""

    def break_off(*_arguments: Any) -> NoReturn:
        raise redis.ConnectionError("broken")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_redis, step, break_off)
        yield


def fail(client: SharedRedis) -> None:
    """A call that meets a broken connection."""
    with broken("_send"), pytest.raises(RedisAwayError):
        client.run(PONG)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]


def test_an_answer_that_was_under_way_when_it_went_is_no_return(
    client: SharedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    sent = client.send(PONG)
    fail(client)
    assert sent.answers() == [b"pong"]
    assert client.is_away
    assert logged(caplog) == ["redis.away"]


def test_a_failure_that_began_before_it_came_back_is_no_news(
    client: SharedRedis, no_pause: None, caplog: pytest.LogCaptureFixture
) -> None:
    fail(client)
    sent = client.send(PONG)
    assert client.run(PONG) == [b"pong"]
    with broken("_hear"), pytest.raises(RedisAwayError):
        sent.answers()
    assert not client.is_away
    assert logged(caplog) == ["redis.away", "redis.back"]


def test_of_those_who_come_after_the_pause_one_asks(client: SharedRedis) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_redis, "PAUSE_S", 0)
        fail(client)
    sent = client.send(PONG)
    with pytest.raises(RedisAwayError, match="a moment ago"):
        client.run(PONG)
    assert sent.answers() == [b"pong"]
    assert client.run(PONG) == [b"pong"]


def test_what_fails_to_be_sent_fails_when_it_is_heard(client: SharedRedis) -> None:
    with broken("_send"):
        sent = client.send(PONG)
    with pytest.raises(RedisAwayError, match="broken"):
        sent.answers()


def test_a_script_that_the_server_has_forgotten_is_sent_again(client: SharedRedis) -> None:
    forgotten = Call(Script(b"return 'forgotten'"), [], [])
    sent = client.send(PONG, forgotten)
    assert sent.answers() == [b"pong", b"forgotten"]
    assert client.run(forgotten, PONG) == [b"forgotten", b"pong"]
