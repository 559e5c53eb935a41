"""One flight and those who take part in it."""

import os
from collections.abc import Sequence
from datetime import timedelta
from threading import Event, Thread
from uuid import uuid4

import pytest
import redis

from apps.ai.flights.calls import own_list
from apps.ai.flights.desk import Desk, desk
from apps.ai.flights.keeper import Keeper
from apps.ai.flights.ttl import NOT_CACHED
from apps.ai.flights.turns import Again, Answer, Ask, Begun, Hit, Inherent, Join, Lead, Stale, Told
from apps.common.shared_redis import Call, Script, Sent, SharedRedis
from tests.ai.flying import CAP, MINUTE, SECOND, TTL, Place, ask, closed_later, keys, place
from tests.waiting import wait_until

ANSWER = Answer({"text": "Grüße vom See 🌊", "usage": {"output": 12}})
PONG = Script(b"return {KEYS[1], ARGV[1]}")
LONG = 30.0


@pytest.fixture
def here() -> Place:
    return place(os.environ["REDIS_URL"])


def joined(here: Place, one: Ask) -> Join:
    turn = here.desk.begin(one).turn
    assert isinstance(turn, Join)
    return turn


def hear(here: Place, join: Join) -> Told:
    return here.desk.wait(join, seconds=LONG)


def hear_nothing(here: Place, join: Join) -> bool:
    return here.desk.wait(join, seconds=0.001) == Again()


def test_the_first_leads_and_others_join(here: Place) -> None:
    first, second = here.ask(), here.ask()
    assert here.desk.begin(first).turn == Lead(first)
    here.clock.forward(SECOND)
    assert here.desk.begin(second).turn == Join(second, first.lease - SECOND)


def test_who_cannot_wait_for_the_leader_takes_over_with_all_who_wait(here: Place) -> None:
    slow = here.lead(takes=4 * MINUTE, waits=4 * MINUTE)
    patient = joined(here, here.ask(takes=4 * MINUTE, waits=4 * MINUTE))
    here.clock.forward(SECOND)
    urgent = here.ask(takes=20 * SECOND, waits=20 * SECOND)
    assert here.desk.begin(urgent).turn == Lead(urgent)
    assert not here.desk.extend(slow, slow.lease)
    also_urgent = joined(here, here.ask(takes=20 * SECOND, waits=20 * SECOND))
    here.desk.end(slow, Answer({"text": "late"}))
    assert hear_nothing(here, patient)
    here.desk.end(urgent, ANSWER)
    assert [hear(here, join) for join in (patient, also_urgent)] == [ANSWER, ANSWER]


def test_who_can_wait_for_what_the_leader_may_still_take_joins(here: Place) -> None:
    leader = here.lead(takes=4 * MINUTE)
    here.clock.forward(4 * MINUTE - 20 * SECOND)
    assert here.desk.extend(leader, leader.lease)
    joined(here, here.ask(waits=20 * SECOND))


def test_among_equals_the_first_leads_also_of_those_who_have_waited(here: Place) -> None:
    def equal() -> Ask:
        return here.ask(takes=20 * SECOND, waits=20 * SECOND)

    leader, first = equal(), equal()
    assert here.desk.begin(leader).turn == Lead(leader)
    joined(here, first)
    here.clock.forward(15 * SECOND)
    assert here.desk.begin(second := equal()).turn == Lead(second), "the leader has died"
    joined(here, first)
    assert not here.desk.extend(leader, leader.lease)


def test_who_has_something_else_to_fall_back_on_waits_for_anybody(here: Place) -> None:
    here.lead(takes=4 * MINUTE)
    joined(here, here.ask(takes=2.5 * SECOND, waits=None))


def test_whoever_begins_twice_still_leads(here: Place) -> None:
    leader = here.lead()
    assert here.desk.begin(leader).turn == Lead(leader)


def test_everybody_who_joined_hears_the_answer(here: Place) -> None:
    leader = here.lead()
    joins = [joined(here, here.ask()) for _ in range(3)]
    here.desk.end(leader, ANSWER)
    assert [hear(here, join) for join in joins] == [ANSWER] * 3


def test_an_answer_reaches_those_who_joined_even_where_nothing_is_cached(here: Place) -> None:
    leader = here.lead(ttl=NOT_CACHED)
    join = joined(here, here.ask(ttl=NOT_CACHED))
    here.desk.end(leader, ANSWER)
    assert hear(here, join) == ANSWER
    assert here.desk.begin(later := here.ask(ttl=NOT_CACHED)).turn == Lead(later)


def test_what_is_wrong_with_the_question_is_said_to_all(here: Place) -> None:
    error = Inherent({"code": "context_too_long", "message": "It has too many words."})
    leader = here.lead()
    joins = [joined(here, here.ask()) for _ in range(2)]
    here.desk.end(leader, error)
    assert [hear(here, join) for join in joins] == [error, error]
    assert here.desk.begin(later := here.ask()).turn == Lead(later)


def test_of_those_whom_a_leader_abandons_one_takes_over(here: Place) -> None:
    leader = here.lead()
    joins = [joined(here, here.ask()) for _ in range(5)]
    here.desk.end(leader, Again())
    assert [hear(here, join) for join in joins] == [Again()] * 5
    turns = [here.desk.begin(join.ask).turn for join in joins]
    assert [type(turn) for turn in turns] == [Lead, Join, Join, Join, Join]


def test_of_those_whose_leader_died_one_takes_over_and_tells_the_others(here: Place) -> None:
    here.lead()
    waiting = joined(here, here.ask())
    here.clock.forward(waiting.lease_left)
    successor = here.ask()
    assert here.desk.begin(successor).turn == Lead(successor)
    here.desk.end(successor, ANSWER)
    assert hear(here, waiting) == ANSWER


def test_a_lease_lasts_until_its_last_millisecond(here: Place) -> None:
    leader, almost = here.lead(), here.ask()
    here.clock.forward(leader.lease - timedelta(milliseconds=1))
    assert here.desk.begin(almost).turn == Join(almost, timedelta(milliseconds=1))
    here.clock.forward(timedelta(milliseconds=1))
    assert here.desk.begin(almost).turn == Lead(almost)


def test_the_shortest_lease_is_a_millisecond(here: Place) -> None:
    here.lead(lease=timedelta(microseconds=1))
    assert joined(here, here.ask()).lease_left == timedelta(milliseconds=1)


def test_an_extended_lease_lasts_longer(here: Place) -> None:
    leader = here.lead()
    here.clock.forward(2 * SECOND)
    assert here.desk.extend(leader, 10 * SECOND)
    assert joined(here, here.ask()).lease_left == 10 * SECOND


def test_a_lease_that_nobody_took_over_can_still_be_extended(here: Place) -> None:
    leader = here.lead()
    here.clock.forward(2 * leader.lease)
    assert here.desk.extend(leader, leader.lease)
    joined(here, here.ask())


def test_a_lease_that_somebody_took_over_cannot_be_extended(here: Place) -> None:
    old = here.lead()
    here.clock.forward(old.lease)
    successor = here.lead()
    assert not here.desk.extend(old, MINUTE)
    assert joined(here, here.ask()).lease_left == successor.lease


@pytest.mark.parametrize("told", [ANSWER, Inherent({"code": "content_filtered"}), Again()])
def test_a_late_end_of_an_old_leader_ends_nothing(here: Place, told: Told) -> None:
    old = here.lead(ttl=NOT_CACHED)
    join = joined(here, here.ask(ttl=NOT_CACHED))
    here.clock.forward(old.lease)
    successor = here.lead(ttl=NOT_CACHED)
    here.desk.end(old, told)
    assert hear_nothing(here, join)
    assert isinstance(here.desk.begin(join.ask).turn, Join)
    here.desk.end(successor, Answer({"text": "the successor's"}))
    assert hear(here, join) == Answer({"text": "the successor's"})


def test_a_late_answer_of_an_old_leader_is_cached(here: Place) -> None:
    old = here.lead()
    here.clock.forward(old.lease)
    here.lead()
    here.desk.end(old, ANSWER)
    assert here.desk.begin(here.ask()).turn == Hit(ANSWER.answer, timedelta())


def test_an_end_that_comes_twice_is_one(here: Place) -> None:
    leader = here.lead()
    join = joined(here, here.ask())
    for told in (ANSWER, Again()):
        here.desk.end(leader, told)
    assert hear(here, join) == ANSWER
    assert hear_nothing(here, join)


def test_who_began_again_is_told_once(here: Place) -> None:
    leader, waiter = here.lead(), here.ask()
    joined(here, waiter)
    join = joined(here, waiter)
    here.desk.end(leader, ANSWER)
    assert hear(here, join) == ANSWER
    assert hear_nothing(here, join)


@pytest.mark.parametrize("told", [ANSWER, Inherent({"code": "bad_request"})])
def test_what_came_between_two_waits_is_heard_at_the_next_beginning(here: Place, told: Told) -> None:
    leader, waiter = here.lead(ttl=NOT_CACHED), here.ask(ttl=NOT_CACHED)
    joined(here, waiter)
    here.desk.end(leader, told)
    assert here.desk.begin(waiter).turn == told


def test_an_abandoned_flight_is_begun_anew_by_who_did_not_hear_of_it(here: Place) -> None:
    leader, waiter = here.lead(), here.ask()
    for _ in range(2):
        joined(here, waiter)
        here.desk.end(leader, Again())
        leader = here.lead()
    here.desk.end(leader, Again())
    assert here.desk.begin(waiter).turn == Lead(waiter)
    assert here.desk.begin(waiter).turn == Lead(waiter)


def test_whoever_takes_over_is_not_told_its_own_answer(here: Place) -> None:
    leader, waiter = here.lead(ttl=NOT_CACHED), here.ask(ttl=NOT_CACHED)
    join = joined(here, waiter)
    here.clock.forward(leader.lease)
    assert here.desk.begin(waiter).turn == Lead(waiter)
    here.desk.end(waiter, ANSWER)
    assert hear_nothing(here, join)


def test_who_is_slow_to_begin_again_hears_the_successor(here: Place) -> None:
    leader = here.lead(ttl=NOT_CACHED)
    quick, slow = here.ask(ttl=NOT_CACHED), here.ask(ttl=NOT_CACHED)
    joined(here, quick)
    joined(here, slow)
    here.desk.end(leader, Again())
    assert here.desk.begin(quick).turn == Lead(quick)
    here.desk.end(quick, ANSWER)
    assert here.desk.begin(slow).turn == ANSWER


def test_who_has_gone_is_told_nothing(here: Place) -> None:
    leader, gone = here.lead(), here.ask()
    joined(here, gone)
    here.clock.forward(leader.lease + 6 * SECOND)
    assert here.desk.extend(leader, leader.lease)
    here.desk.end(leader, Again())
    assert keys(os.environ["REDIS_URL"], here.tenant_id) == set()


def test_everything_that_is_kept_ends_by_itself(here: Place) -> None:
    leader = here.lead()
    joined(here, here.ask())
    here.lead("another")
    here.desk.end(leader, ANSWER)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        found = {key: client.pttl(key) for key in client.scan_iter(f"*{here.tenant_id}*")}
    assert len(found) == 6  # an answer and its three indices, a told waiter, the other flight
    assert all(0 < left <= TTL.stale / timedelta(milliseconds=1) for left in found.values())


def test_another_tenants_same_question_neither_joins_nor_hits(here: Place) -> None:
    stranger, one = uuid4(), here.ask()
    theirs = ask(stranger)
    # Even under one identity, which the tenant is part of.
    same = Ask(tenant_id=stranger, identity=one.identity, ttl=TTL)
    here.desk.begin(one)
    assert here.desk.begin(theirs).turn == Lead(theirs)
    assert here.desk.begin(same).turn == Lead(same)
    here.desk.end(one, ANSWER)
    for each in (theirs, same):
        assert here.desk.begin(each).turn == Lead(each)
        assert here.desk.extend(each, SECOND)


def test_other_questions_have_flights_of_their_own(here: Place) -> None:
    here.lead("one")
    here.lead("two")


def test_calls_of_others_ride_along(here: Place) -> None:
    extra = [Call(PONG, ["a"], [1]), Call(PONG, ["b"], [2])]
    pong = [[b"a", b"1"], [b"b", b"2"]]
    one = here.ask()
    assert here.desk.begin(one, extra) == Begun(Lead(one), pong)
    assert here.desk.end(one, ANSWER, extra) == pong
    assert here.desk.begin(one, extra) == Begun(Hit(ANSWER.answer, timedelta()), pong)
    assert here.desk.end(None, ANSWER, extra) == pong
    assert here.desk.end(None, Again()) == []


class Counted(SharedRedis):
    """A client that counts its round trips."""

    trips = 0

    def send(self, *calls: Call) -> Sent:
        self.trips += 1
        return super().send(*calls)


def test_a_miss_is_two_round_trips_and_a_hit_is_one(here: Place) -> None:
    client = closed_later(Counted(os.environ["REDIS_URL"]))
    counted = Desk(flights=client, cache=client, cap=CAP)
    extra = [Call(PONG, ["a"], [1])]
    one = here.ask()
    assert isinstance(counted.begin(one, extra).turn, Lead)
    with counted.kept(one, at_most=MINUTE):
        counted.end(one, ANSWER, extra)
    assert client.trips == 2
    assert isinstance(counted.begin(here.ask(), extra).turn, Hit)
    assert client.trips == 3


def test_who_never_began_ends_no_flight_but_its_answer_is_cached(here: Place) -> None:
    leader, fresh = here.lead(), here.ask()
    here.desk.end(fresh, ANSWER)
    assert here.desk.begin(here.ask()).turn == Hit(ANSWER.answer, timedelta())
    assert here.desk.extend(leader, SECOND)


def test_a_stale_answer_comes_with_its_age_to_leader_and_joiner(here: Place) -> None:
    here.desk.end(here.lead(), ANSWER)
    here.clock.forward(2 * MINUTE)
    leader, joiner = here.ask(), here.ask()
    stale = Stale(ANSWER.answer, 2 * MINUTE)
    assert here.desk.begin(leader).turn == Lead(leader, stale)
    assert here.desk.begin(joiner).turn == Join(joiner, leader.lease, stale)


@pytest.mark.parametrize("content", [float("nan"), object()])
def test_what_is_not_json_is_refused_and_the_flight_stays(here: Place, content: object) -> None:
    leader = here.lead()
    with pytest.raises((TypeError, ValueError)):
        here.desk.end(leader, Answer({"text": content}))
    assert here.desk.extend(leader, SECOND)


def test_a_script_that_cannot_run_shares_nothing_and_is_logged_once(
    here: Place, caplog: pytest.LogCaptureFixture
) -> None:
    one = here.ask()
    flight = f"huntaze:ai:{{{one.tenant_id}}}:flight:{one.identity}"
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.set(flight, "not a hash")
        extra = [Call(PONG, ["a"], [1])]
        for _ in range(2):
            assert here.desk.begin(one, extra) == Begun(Lead(None), [[b"a", b"1"]])
        assert here.desk.end(one, Again(), extra) == [[b"a", b"1"]]
        client.delete(flight)
    assert here.desk.begin(one).turn == Lead(one)
    events = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert events == ["flights.refused", "flights.accepted"]


class TestFollowing:
    """Waiting as long as it takes."""

    def test_an_answer_ends_it(self, here: Place) -> None:
        leader = here.lead()
        join = joined(here, here.ask())
        here.desk.end(leader, ANSWER)
        assert here.desk.follow(join, time_left=lambda: MINUTE).turn == ANSWER

    def test_whoever_is_abandoned_leads_with_what_rode_along(self, here: Place) -> None:
        leader = here.lead()
        join = joined(here, here.ask())
        here.desk.end(leader, Again())
        extra = [Call(PONG, ["a"], [1])]
        begun = here.desk.follow(join, time_left=lambda: MINUTE, extra=extra)
        assert begun == Begun(Lead(join.ask), [[b"a", b"1"]])

    def test_a_dead_leader_is_missed_within_its_lease(self, here: Place) -> None:
        lease = timedelta(milliseconds=50)
        here.lead(lease=lease)
        join = joined(here, here.ask(lease=lease))
        here.clock.forward(lease)
        assert here.desk.follow(join, time_left=lambda: MINUTE).turn == Lead(join.ask)

    def test_it_goes_on_while_the_leader_lives(self, here: Place) -> None:
        leader = here.lead(lease=timedelta(milliseconds=20))
        join = joined(here, here.ask())
        began = []

        def time_left() -> timedelta:
            """Asked before each wait and each beginning; the leader answers during the fifth wait."""
            began.append(here.desk.extend(leader, timedelta(milliseconds=20)))
            if len(began) == 9:
                here.desk.end(leader, ANSWER)
            return MINUTE

        assert here.desk.follow(join, time_left=time_left).turn == ANSWER
        assert len(began) == 9

    def test_it_ends_with_the_callers_time(self, here: Place) -> None:
        leader = here.lead()
        join = joined(here, here.ask())
        left = iter([timedelta(milliseconds=5), timedelta(), timedelta()])

        def time_left() -> timedelta:
            """When somebody asks for the first time, the leader's lease ends, too."""
            here.clock.forward(leader.lease)
            return next(left)

        assert here.desk.follow(join, time_left=time_left).turn == join
        here.lead()

    def test_nobody_waits_longer_than_it_has_time(self, here: Place) -> None:
        here.lead(lease=timedelta(hours=1))
        assert here.desk.wait(joined(here, here.ask()), seconds=0.01) == Again()

    def test_without_time_nobody_waits(self, here: Place) -> None:
        here.lead()
        join = joined(here, here.ask())
        assert here.desk.follow(join, time_left=timedelta) == Begun(join, None)


class TestKeeping:
    """Leases that are extended for as long as somebody works. They end by the clock that tests move: however
    slow the machine, none ends by itself."""

    LEASE = timedelta(milliseconds=30)

    @pytest.fixture
    def kept(self, here: Place) -> Place:
        """With a keeper that looks often."""
        client, beat = here.desk.flights, timedelta(milliseconds=5)
        here.desk = Desk(flights=client, cache=client, cap=CAP, now=here.clock, beat=beat)
        return here

    def outlive(self, kept: Place, waiter: Ask) -> None:
        """See the lease extended again and again, while far more time passes than it lasts."""
        for _ in range(4):
            kept.clock.forward(self.LEASE - timedelta(milliseconds=1))
            wait_until(
                lambda: joined(kept, waiter).lease_left == self.LEASE, seconds=30, what="a beat", every=0.01
            )

    def is_idle(self, kept: Place) -> None:
        wait_until(lambda: not kept.desk.keeper.is_running, seconds=30, what="the thread to end", every=0.01)

    def test_a_kept_flight_outlives_its_lease(self, kept: Place) -> None:
        leader, waiter = kept.lead(lease=self.LEASE), kept.ask()
        with kept.desk.kept(leader, at_most=MINUTE):
            self.outlive(kept, waiter)

    def test_it_is_kept_no_longer_than_the_block_runs(self, kept: Place) -> None:
        with kept.desk.kept(kept.lead(lease=self.LEASE), at_most=10 * MINUTE):
            pass
        self.is_idle(kept)
        kept.clock.forward(self.LEASE)
        kept.lead()

    def test_a_leader_that_hangs_is_missed_too(self, kept: Place) -> None:
        with kept.desk.kept(kept.lead(lease=self.LEASE), at_most=2 * self.LEASE):
            self.is_idle(kept)
            kept.clock.forward(self.LEASE)
            kept.lead()

    def test_whoever_lost_the_lease_does_not_take_it_back(self, kept: Place) -> None:
        old = kept.lead(lease=self.LEASE)
        kept.clock.forward(self.LEASE)
        successor = kept.lead(lease=MINUTE)
        with kept.desk.kept(old, at_most=MINUTE), kept.desk.kept(successor, at_most=MINUTE):
            wait_until(lambda: len(kept.desk.keeper) == 1, seconds=30, what="the old leader to be dropped")
            assert joined(kept, kept.ask()).lease_left == MINUTE

    def test_nothing_is_kept_without_a_ticket(self, kept: Place) -> None:
        with kept.desk.kept(None, at_most=MINUTE):
            assert len(kept.desk.keeper) == 0

    def test_keeping_begins_again_after_a_pause(self, kept: Place) -> None:
        for text in ("one", "two"):
            leader, waiter = kept.lead(text, lease=self.LEASE), kept.ask(text)
            with kept.desk.kept(leader, at_most=MINUTE):
                self.outlive(kept, waiter)
            self.is_idle(kept)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_keepers_thread_that_fails_is_replaced() -> None:
    calls: list[int] = []

    def extend(tickets: Sequence[Ask]) -> list[bool]:
        calls.append(len(tickets))
        return [1 // (len(calls) - 1) > 0] * len(tickets)

    keeper = Keeper(extend, beat=timedelta(milliseconds=1))
    for number in (1, 2):
        with keeper.kept(ask(uuid4(), lease=timedelta(milliseconds=1)), at_most=MINUTE):
            wait_until(lambda: len(calls) >= number, seconds=10, what="a beat", every=0.01)  # noqa: B023
        wait_until(lambda: not keeper.is_running, seconds=10, what="the thread to end", every=0.01)


def test_an_answer_wakes_whoever_waits(here: Place) -> None:
    leader = here.lead()
    join = joined(here, here.ask())
    heard: list[Told] = []
    is_waiting = Event()

    def listen() -> None:
        is_waiting.set()
        heard.append(hear(here, join))

    thread = Thread(target=listen)
    thread.start()
    is_waiting.wait()
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        wait_until(lambda: client.info("clients")["blocked_clients"], seconds=10, what="a waiter", every=0.01)
    here.desk.end(leader, ANSWER)
    thread.join()
    assert heard == [ANSWER]
    assert keys(os.environ["REDIS_URL"], here.tenant_id).isdisjoint({own_list(join.ask).split("}:")[1]})


def test_a_process_has_one_desk_on_its_redis() -> None:
    assert desk() is desk()
    assert desk().cache is desk().flights
    assert isinstance(desk().begin(ask(uuid4())).turn, Lead)
