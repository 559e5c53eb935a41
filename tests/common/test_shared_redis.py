"""Whether a Redis is away, as several callers find out at once."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from apps.common import shared_redis
from apps.common.shared_redis import Call, RedisAwayError, Script, SharedRedis

PONG = Call(Script(b"return 'pong'"), [], [])


class Interrupted(SharedRedis):
    """A client whose next call is interrupted by something else, before or after it has its answer."""

    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def __init__(self) -> None:
        super().__init__(os.environ["REDIS_URL"])

    def _ask(self, question: Any) -> Any:
        (before, self.before), (after, self.after) = (self.before, None), (self.after, None)

        def ask(connection: Any) -> Any:
            if before:
                before()
            answer = question(connection)
            if after:
                after()
            return answer

        return super()._ask(ask)


@pytest.fixture
def client() -> Iterator[Interrupted]:
    made = Interrupted()
    yield made
    made.close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_redis, "PAUSE_S", 0)


def fail(client: Interrupted) -> None:
    """A call that meets a broken connection."""

    def break_off() -> None:
        raise redis.ConnectionError("broken")

    client.before = break_off
    with pytest.raises(RedisAwayError):
        client.run(PONG)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]


def test_an_answer_that_was_under_way_when_it_went_is_no_return(
    client: Interrupted, caplog: pytest.LogCaptureFixture
) -> None:
    client.after = lambda: fail(client)
    assert client.run(PONG) == [b"pong"]
    assert client.is_away
    assert logged(caplog) == ["redis.away"]


def test_a_failure_that_began_before_it_came_back_is_no_news(
    client: Interrupted, no_pause: None, caplog: pytest.LogCaptureFixture
) -> None:
    fail(client)

    def come_back_and_break() -> None:
        assert client.run(PONG) == [b"pong"]
        raise redis.ConnectionError("broken")

    client.before = come_back_and_break
    with pytest.raises(RedisAwayError):
        client.run(PONG)
    assert not client.is_away
    assert logged(caplog) == ["redis.away", "redis.back"]


def test_of_those_who_come_after_the_pause_one_asks(
    client: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shared_redis, "PAUSE_S", 0)
        fail(client)
    seen: list[str] = []

    def another() -> None:
        with pytest.raises(RedisAwayError, match="a moment ago"):
            client.run(PONG)
        seen.append("refused")

    client.before = another
    assert client.run(PONG) == [b"pong"]
    assert seen == ["refused"]
    assert client.run(PONG) == [b"pong"]
