"""Redis without memory, without an answer, and two of them."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
import redis

from apps.ai.flights import desk as module
from apps.ai.flights.counts import cache_writes
from apps.ai.flights.ttl import NOT_CACHED
from apps.ai.flights.turns import Again, Answer, Begun, Hit, Inherent, Join, Lead, Stale, Told
from apps.common.shared_redis import Call, RedisAwayError, Script, SharedRedis
from huntaze import embedded
from tests.ai.flying import MINUTE, SECOND, Place, closed_later, keys, place, redis_server
from tests.huntaze.homes import temporary_home
from tests.waiting import wait_until

ANSWER = Answer({"text": "by the lake"})
PONG = Script(b"return 'pong'")
EXTRA = [Call(PONG, [], [])]
URL = os.environ["REDIS_URL"]


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    """A second server."""
    with temporary_home() as home, redis_server(home) as url:
        yield url


@pytest.fixture
def full(other: str) -> Iterator["redis.Redis"]:
    """The second server, out of memory until CONFIG SET maxmemory 0."""
    with redis.Redis.from_url(other) as client:
        client.config_set("maxmemory", 1)
        try:
            yield client
        finally:
            client.config_set("maxmemory", 0)


def written(result: str) -> float:
    value: float = cache_writes.labels(result)._value.get()
    return value


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]


class TestWithoutMemory:
    def test_it_refuses_other_writes(self, full: "redis.Redis") -> None:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            full.set("anything", "at all")

    @pytest.mark.parametrize("told", [ANSWER, Inherent({"code": "bad_request"}), Again()])
    def test_a_flight_still_reaches_all_who_joined(self, other: str, full: "redis.Redis", told: Told) -> None:
        here = place(other)
        leader = here.lead()
        joins = [here.desk.begin(here.ask()).turn for _ in range(3)]
        before = written("no_memory")
        here.desk.end(leader, told)
        for join in joins:
            assert isinstance(join, Join)
            assert here.desk.wait(join, seconds=10) == told
        assert written("no_memory") == before + isinstance(told, Answer)

    def test_nothing_is_cached_until_there_is_some_again(self, other: str, full: "redis.Redis") -> None:
        here = place(other)
        here.desk.end(here.lead(), ANSWER)
        assert keys(other, here.tenant_id) == set()
        here.lead()
        full.config_set("maxmemory", 0)
        here.desk.end(here.ask(), ANSWER)
        assert here.desk.begin(here.ask()).turn == Hit(ANSWER.answer, timedelta())

    def test_a_lease_is_extended_and_what_was_cached_is_found(self, other: str, full: "redis.Redis") -> None:
        here = place(other)
        full.config_set("maxmemory", 0)
        here.desk.end(here.lead(), ANSWER)
        full.config_set("maxmemory", 1)
        assert here.desk.begin(here.ask()).turn == Hit(ANSWER.answer, timedelta())
        assert here.desk.extend(here.lead("another"), MINUTE)
        joiner = here.ask("another")
        assert here.desk.begin(joiner).turn == Join(joiner, MINUTE)


class Meddled(SharedRedis):
    """A client before whose next call something else happens."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.first: Any = None

    def run(self, *calls: Call) -> list[Any]:
        first, self.first = self.first, None
        if first is not None:
            first()
        return super().run(*calls)


class TestWithACacheElsewhere:
    @pytest.fixture
    def here(self, other: str) -> Place:
        return place(URL, cache_url=other)

    def test_each_keeps_its_own(self, here: Place, other: str) -> None:
        one = here.lead()
        here.lead("another")
        here.desk.end(one, ANSWER)
        assert {name.split(":")[0] for name in keys(URL, here.tenant_id)} == {"flight"}
        assert {name.split(":")[0] for name in keys(other, here.tenant_id)} == {"cache", "index"}

    def test_a_fresh_answer_needs_no_flight(self, here: Place) -> None:
        before = written("stored")
        assert here.desk.end(here.lead(), ANSWER, EXTRA) == [b"pong"]
        assert written("stored") == before + 1
        here.clock.forward(SECOND)
        assert here.desk.begin(here.ask(), EXTRA) == Begun(Hit(ANSWER.answer, SECOND), None)
        here.lead("nothing else is there")

    def test_a_stale_one_comes_to_leader_and_joiner(self, here: Place) -> None:
        here.desk.end(here.lead(), ANSWER)
        here.clock.forward(2 * MINUTE)
        leader, joiner, stale = here.ask(), here.ask(), Stale(ANSWER.answer, 2 * MINUTE)
        assert here.desk.begin(leader, EXTRA) == Begun(Lead(leader, stale), [b"pong"])
        assert here.desk.begin(joiner, EXTRA) == Begun(Join(joiner, leader.lease, stale), [b"pong"])

    def test_who_joined_is_told(self, here: Place) -> None:
        leader, joiner = here.lead(), here.ask()
        join = here.desk.begin(joiner).turn
        assert isinstance(join, Join)
        here.desk.end(leader, ANSWER)
        assert here.desk.wait(join, seconds=10) == ANSWER

    def test_what_came_between_two_waits_is_heard(self, here: Place) -> None:
        leader, joiner = here.lead(ttl=NOT_CACHED), here.ask(ttl=NOT_CACHED)
        here.desk.begin(joiner)
        here.desk.end(leader, ANSWER)
        assert here.desk.begin(joiner).turn == ANSWER

    def test_an_answer_that_comes_between_the_looks_is_not_asked_for_again(self, other: str) -> None:
        """The flight ends after a newcomer has found nothing cached, and before it joins."""
        here = place(URL, cache_url=other)
        leader = here.lead()
        flights = closed_later(Meddled(URL))
        late = module.Desk(flights=flights, cache=here.desk.cache, cap=2**20, now=here.clock)
        flights.first = lambda: here.desk.end(leader, ANSWER)
        assert late.begin(here.ask(), EXTRA) == Begun(Hit(ANSWER.answer, timedelta()), [b"pong"])
        assert keys(URL, here.tenant_id) == set(), "its flight has ended"
        here.clock.forward(SECOND)
        assert late.begin(here.ask()).turn == Hit(ANSWER.answer, SECOND), "and the answer is no younger"

    def test_a_large_answer_is_not_kept_there_either(self, here: Place) -> None:
        before = written("too_large")
        here.desk.end(here.lead(), Answer({"text": "x" * 2**19}))
        here.lead()
        assert written("too_large") == before + 1

    def test_what_is_not_to_be_cached_does_not_go_there(self) -> None:
        """Looking and keeping would be calls that fail, and the first of them says so."""
        away = place(URL, cache_url="unix:///nowhere/redis.sock")
        one = away.lead(ttl=NOT_CACHED)
        away.desk.end(one, ANSWER)
        assert not away.desk.cache.is_away

    def test_without_memory_there_it_is_not_kept(self, here: Place, full: "redis.Redis") -> None:
        before = written("no_memory")
        here.desk.end(here.lead(), ANSWER)
        here.lead()
        assert written("no_memory") == before + 1

    def test_while_the_cache_is_away_questions_are_still_shared(self) -> None:
        here = place(URL, cache_url="unix:///nowhere/redis.sock")
        leader, joiner, before = here.lead(), here.ask(), written("away")
        join = here.desk.begin(joiner, EXTRA)
        assert join == Begun(Join(joiner, leader.lease), [b"pong"])
        here.desk.end(leader, ANSWER)
        assert written("away") == before + 1
        assert here.desk.begin(joiner).turn == ANSWER

    def test_while_flights_are_away_the_cache_still_answers(self, other: str) -> None:
        here, away = place(URL, cache_url=other), place("unix:///nowhere/redis.sock", cache_url=other)
        away.tenant_id = here.tenant_id
        assert away.desk.begin(away.ask(), EXTRA) == Begun(Lead(None), None)
        here.desk.end(here.lead(), ANSWER)
        assert away.desk.begin(away.ask()).turn == Hit(ANSWER.answer, timedelta())
        here.clock.forward(2 * MINUTE)
        away.clock.forward(2 * MINUTE)
        assert away.desk.begin(away.ask()).turn == Lead(None, Stale(ANSWER.answer, 2 * MINUTE))

    def test_a_script_that_cannot_run_there_counts_as_no_cache(
        self, here: Place, other: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = here.lead()
        with redis.Redis.from_url(other) as client:
            index = f"huntaze:ai:{{{here.tenant_id}}}:index:sizes"
            client.set(index, "not a hash")
            here.desk.end(one, ANSWER)
            client.delete(index)
        here.desk.end(here.ask("another"), ANSWER)
        assert logged(caplog) == ["flights.refused", "flights.accepted"]


class TestAway:
    @pytest.fixture
    def gone(self) -> Place:
        return place("unix:///nowhere/redis.sock")

    def test_everybody_leads_alone(self, gone: Place, caplog: pytest.LogCaptureFixture) -> None:
        for _ in range(3):
            assert gone.desk.begin(gone.ask(), EXTRA) == Begun(Lead(None), None)
        assert logged(caplog) == ["redis.away"]

    def test_ending_fails_nobody(self, gone: Place) -> None:
        before = written("away")
        assert gone.desk.end(gone.ask(), ANSWER, EXTRA) is None
        assert gone.desk.end(gone.ask(), Again(), EXTRA) is None
        assert written("away") == before + 1
        assert gone.desk.end(None, ANSWER, EXTRA) is None
        assert gone.desk.end(None, ANSWER) == []

    def test_whoever_waits_leads_alone(self, gone: Place) -> None:
        join = Join(gone.ask(), MINUTE)
        assert gone.desk.wait(join, seconds=10) == Again()
        assert gone.desk.follow(join, time_left=lambda: MINUTE).turn == Lead(None)

    def test_keeping_goes_on_without_it(self, gone: Place) -> None:
        keeper = module.Desk(
            flights=gone.desk.flights, cache=gone.desk.cache, cap=0, beat=timedelta(milliseconds=5)
        ).keeper
        one = replace(gone.ask(), lease=timedelta(milliseconds=1))
        with keeper.kept(one, at_most=MINUTE):
            wait_until(lambda: gone.desk.flights.is_away, seconds=10, what="a beat", every=0.01)
            assert len(keeper) == 1
        with pytest.raises(RedisAwayError):
            gone.desk.extend(one, MINUTE)

    def test_it_goes_and_comes_back(self, caplog: pytest.LogCaptureFixture) -> None:
        """Killed while somebody waits: nobody hangs, and later all is as before."""
        turns: list[Any] = []
        with temporary_home() as home:
            with redis_server(home) as url:
                here = place(url)
                leader = here.lead(lease=10 * MINUTE)
                join = here.desk.begin(here.ask()).turn
                assert isinstance(join, Join)
                waiter = Thread(
                    target=lambda: turns.append(here.desk.follow(join, time_left=lambda: 10 * MINUTE).turn)
                )
                waiter.start()
                with redis.Redis.from_url(url) as client:
                    wait_until(
                        lambda: client.info("clients")["blocked_clients"],
                        seconds=10,
                        what="a waiter",
                        every=0.01,
                    )
            waiter.join(timeout=10)
            assert turns == [Lead(None)]
            assert here.desk.end(leader, ANSWER) is None
            with redis_server(home):
                wait_until(lambda: here.desk.end(None, Again(), EXTRA), seconds=10, what="Redis to be asked")
                again = here.lead("again")
                joiner = here.ask("again")
                assert isinstance(here.desk.begin(joiner).turn, Join)
                here.desk.end(again, ANSWER)
                assert here.desk.begin(here.ask("again")).turn == Hit(ANSWER.answer, timedelta())
        assert logged(caplog) == ["redis.away", "redis.back"]


class TestSettings:
    def test_a_cache_on_another_redis_is_one_of_its_own(self, settings: Any, other: str) -> None:
        settings.CACHE_REDIS_URL, settings.CACHE_IS_REDIS = other, False
        assert module.desk().cache is not module.desk().flights

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("redis://a", "redis://a:6379/0", True),
            ("redis://a/1", "redis://a?db=1", True),
            ("redis://user:secret@a/1", "redis://a/1", True),
            ("redis://a/1", "redis://a/2", False),
            ("redis://a/1", "redis://b/1", False),
            ("redis://a/1", "redis://a:6380/1", False),
            ("unix:///a?db=1", "unix:///a?db=1", True),
            ("unix:///a?db=1", "unix:///a", False),
            ("unix:///a", "unix:///b", False),
            ("unix:///a", "redis://a", False),
        ],
    )
    def test_a_database_is_the_same_whatever_its_spelling(self, one: str, other: str, same: bool) -> None:
        assert embedded.same_database(one, other) is same
        assert embedded.same_database(other, one) is same
