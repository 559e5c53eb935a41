"""Answers that are kept: for how long, and how many of them."""

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.ai.flights.calls import LARGEST_KEPT_BYTES
from apps.ai.flights.counts import cache_writes
from apps.ai.flights.ttl import NOT_CACHED, Ttl
from apps.ai.flights.turns import Again, Answer, Hit, Inherent, Lead, Stale, Turn
from tests.ai.flying import MINUTE, SECOND, TTL, Place, keys, place

MS = timedelta(milliseconds=1)
# What an answer counts beside its own bytes.
OVERHEAD = 768
ANSWER = Answer({"text": "by the lake"})


@pytest.fixture
def here() -> Place:
    return place(os.environ["REDIS_URL"])


def of_bytes(size: int, mark: str = "x") -> Answer:
    """An answer whose JSON is so long."""
    bare = len(json.dumps({"text": ""}, separators=(",", ":")))
    return Answer({"text": mark * (size - bare)})


def written(result: str) -> float:
    value: float = cache_writes.labels(result)._value.get()
    return value


def keep(here: Place, text: str, answer: Answer, ttl: Ttl = TTL) -> None:
    here.desk.end(here.ask(text, ttl=ttl), answer)


def look(here: Place, text: str, ttl: Ttl = TTL) -> Turn:
    """What beginning gives, of a question that nobody is asking afterwards either."""
    one = here.ask(text, ttl=ttl)
    turn = here.desk.begin(one).turn
    here.desk.end(one, Again())
    return turn


def is_kept(here: Place, text: str) -> bool:
    turn = look(here, text)
    return not (isinstance(turn, Lead) and turn.stale is None)


def test_an_answer_is_fresh_until_its_time_then_stale_until_its_other_then_gone(here: Place) -> None:
    keep(here, "", ANSWER)
    assert look(here, "") == Hit(ANSWER.answer, timedelta())
    here.clock.forward(TTL.fresh - MS)
    assert look(here, "") == Hit(ANSWER.answer, TTL.fresh - MS)
    here.clock.forward(MS)
    turn = look(here, "")
    assert isinstance(turn, Lead)
    assert turn.stale == Stale(ANSWER.answer, TTL.fresh)
    here.clock.forward(TTL.stale - TTL.fresh - MS)
    turn = look(here, "")
    assert isinstance(turn, Lead)
    assert turn.stale == Stale(ANSWER.answer, TTL.stale - MS)
    here.clock.forward(MS)
    assert not is_kept(here, "")


def test_redis_itself_forgets_an_answer_when_it_is_stale(here: Place) -> None:
    keep(here, "", ANSWER)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        (name,) = client.keys(f"huntaze:ai:{{{here.tenant_id}}}:cache:*")
        assert 0 < client.pttl(name) <= TTL.stale / MS


def test_a_newer_answer_replaces_an_older_one(here: Place) -> None:
    keep(here, "", of_bytes(2000))
    here.clock.forward(2 * MINUTE)
    keep(here, "", ANSWER)
    here.clock.forward(SECOND)
    assert look(here, "") == Hit(ANSWER.answer, SECOND)


def test_a_clock_that_went_back_makes_an_answer_new_not_old(here: Place) -> None:
    keep(here, "", ANSWER)
    here.clock.forward(-MINUTE)
    assert look(here, "") == Hit(ANSWER.answer, timedelta())


def test_what_is_not_to_be_cached_is_not(here: Place) -> None:
    keep(here, "", ANSWER, NOT_CACHED)
    assert keys(os.environ["REDIS_URL"], here.tenant_id) == set()


def test_with_nothing_fresh_an_answer_is_only_for_want_of_another(here: Place) -> None:
    ttl = Ttl(timedelta(), MINUTE)
    keep(here, "", ANSWER, ttl)
    turn = look(here, "", ttl)
    assert isinstance(turn, Lead)
    assert turn.stale == Stale(ANSWER.answer, timedelta())


@pytest.mark.parametrize("told", [Inherent({"code": "content_filtered"}), Again()])
def test_only_answers_are_cached(here: Place, told: Inherent | Again) -> None:
    here.desk.end(here.lead(), told)
    assert not is_kept(here, "")


@pytest.mark.parametrize(
    "text", ["", "Grüße 🌊", 'quotes " and \\ backslashes', "\x00\x1f\u2028", "\ud800 half a pair"]
)
def test_an_answer_comes_back_as_it_was(here: Place, text: str) -> None:
    answer = {"text": text, "data": {"numbers": [0, -1.5, 2**70], "nothing": None}, text: [True]}
    keep(here, "", Answer(answer))
    assert look(here, "") == Hit(answer, timedelta())


def test_a_large_answer_reaches_those_who_joined_and_is_not_kept(here: Place) -> None:
    large = of_bytes(LARGEST_KEPT_BYTES + 1)
    before = written("too_large")
    leader = here.lead()
    waiter = here.ask()
    here.desk.begin(waiter)
    here.desk.end(leader, large)
    assert here.desk.begin(waiter).turn == large
    assert not is_kept(here, "")
    assert written("too_large") == before + 1


def test_the_largest_answer_is_kept(here: Place) -> None:
    before = written("stored")
    keep(here, "", of_bytes(LARGEST_KEPT_BYTES))
    assert is_kept(here, "")
    assert written("stored") == before + 1


def test_an_answer_larger_than_the_cap_drives_out_nothing(here: Place) -> None:
    small = place(os.environ["REDIS_URL"], cap=10_000)
    keep(small, "first", of_bytes(1000))
    keep(small, "large", of_bytes(10_000 - OVERHEAD + 1))
    assert is_kept(small, "first")
    assert not is_kept(small, "large")
    keep(small, "just as large", of_bytes(10_000 - OVERHEAD))
    assert is_kept(small, "just as large")


def test_with_a_cap_of_nothing_nothing_is_kept() -> None:
    none = place(os.environ["REDIS_URL"], cap=0)
    keep(none, "", ANSWER)
    assert keys(os.environ["REDIS_URL"], none.tenant_id) == set()


def test_a_lower_cap_holds_from_the_next_answer_on() -> None:
    generous = place(os.environ["REDIS_URL"], cap=100_000)
    for number in range(10):
        keep(generous, str(number), of_bytes(5000))
        generous.clock.forward(SECOND)
    strict = place(os.environ["REDIS_URL"], cap=2 * (5000 + OVERHEAD))
    strict.tenant_id, strict.clock.now = generous.tenant_id, generous.clock.now
    keep(strict, "last", of_bytes(5000))
    assert [text for text in [*map(str, range(10)), "last"] if is_kept(strict, text)] == ["9", "last"]


def test_what_has_expired_makes_room_before_what_has_not() -> None:
    small = place(os.environ["REDIS_URL"], cap=2 * (1000 + OVERHEAD))
    keep(small, "old", of_bytes(1000))
    small.clock.forward(SECOND)
    keep(small, "short", of_bytes(1000), Ttl(SECOND, SECOND))
    small.clock.forward(2 * SECOND)
    keep(small, "new", of_bytes(1000))
    assert is_kept(small, "old")
    assert is_kept(small, "new")


def test_however_many_have_expired_they_go_first() -> None:
    """More than a call forgets when nobody needs the room."""
    each = 100 + OVERHEAD
    small = place(os.environ["REDIS_URL"], cap=61 * each)
    keep(small, "old", of_bytes(100))
    for number in range(60):
        keep(small, str(number), of_bytes(100), Ttl(MINUTE, MINUTE))
    small.clock.forward(2 * MINUTE)
    keep(small, "large", of_bytes(60 * each - OVERHEAD))
    assert is_kept(small, "old")
    assert is_kept(small, "large")


def test_one_tenants_answers_drive_out_no_others() -> None:
    ada, eve = (place(os.environ["REDIS_URL"], cap=2000) for _ in range(2))
    keep(ada, "", of_bytes(1000))
    for number in range(5):
        keep(eve, str(number), of_bytes(1000))
    assert is_kept(ada, "")


@pytest.mark.parametrize("lost", ["by_age", "by_end", "sizes"])
def test_a_redis_that_evicts_an_index_only_makes_the_cap_less_exact(lost: str) -> None:
    small = place(os.environ["REDIS_URL"], cap=3 * (1000 + OVERHEAD))
    for number in range(3):
        keep(small, str(number), of_bytes(1000))
        small.clock.forward(SECOND)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.delete(f"huntaze:ai:{{{small.tenant_id}}}:index:{lost}")
    for number in range(3, 12):
        keep(small, str(number), of_bytes(1000))
        small.clock.forward(SECOND)
    assert [number for number in range(3, 12) if is_kept(small, str(number))] == [9, 10, 11]


def test_the_cap_is_about_what_redis_really_needs() -> None:
    """Of small answers, to which their names and the indices add most."""
    cap = 500_000
    small = place(os.environ["REDIS_URL"], cap=cap)
    for number in range(1000):
        keep(small, str(number), of_bytes(100))
        small.clock.forward(MS)
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        names = list(client.scan_iter(f"huntaze:ai:{{{small.tenant_id}}}:*", count=1000))
        needs = sum(client.memory_usage(name, samples=0) for name in names)
    assert 0.5 * cap < needs <= cap


@dataclass
class Model:
    """What a tenant's cache holds: by question, when it was made, when it ends, and its bytes."""

    cap: int
    held: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def keep(self, text: str, size: int, now: int, stale: int) -> None:
        needs = size + OVERHEAD
        if needs > self.cap:
            return
        self.held.pop(text, None)
        self.held = {name: each for name, each in self.held.items() if each[1] > now}
        while sum(each[2] for each in self.held.values()) + needs > self.cap:
            del self.held[min(self.held, key=lambda name: self.held[name][0])]
        self.held[text] = (now, now + stale, needs)

    def live(self, now: int) -> dict[str, int]:
        """The questions that have an answer, and its age."""
        return {text: now - made for text, (made, ends, _) in self.held.items() if ends > now}


steps = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"),
        st.integers(11, 4000),
        # Never zero: of two that were made in one millisecond either may go first.
        st.sampled_from([1, 30_000, 60_000]),
        # Redis forgets by its own clock, which an example must not outrun.
        st.sampled_from([30_000, 60_000, 600_000]),
    ),
    max_size=25,
)


@settings(max_examples=80)
@given(cap=st.integers(0, 12_000), steps=steps)
def test_a_tenants_cache_holds_what_the_model_holds(cap: int, steps: list[Any]) -> None:
    small = place(os.environ["REDIS_URL"], cap=cap)
    model = Model(cap)
    for text, size, pause, stale in steps:
        small.clock.forward(pause * MS)
        keep(small, text, of_bytes(size, text), Ttl(timedelta(), stale * MS))
        model.keep(text, size, small.clock.now, stale)
        assert _held(small) == model.live(small.clock.now)
    small.clock.forward(600_000 * MS)
    assert _held(small) == {}


def _held(small: Place) -> dict[str, int]:
    """What can be had, and its age in milliseconds. The total in the index is what is listed there."""
    # By the longest time: when an answer ends is what it was kept with.
    found = {}
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        prefix = f"huntaze:ai:{{{small.tenant_id}}}:"
        sizes = {name.decode(): int(size) for name, size in client.hgetall(f"{prefix}index:sizes").items()}
        total = sizes.pop("total", 0)
        by_end = {
            name.decode(): int(end)
            for name, end in client.zrange(f"{prefix}index:by_end", 0, -1, withscores=True)
        }
        by_age = client.zrange(f"{prefix}index:by_age", 0, -1)
    assert total == sum(sizes.values())
    assert set(sizes) == set(by_end) == {name.decode() for name in by_age}
    for text in "abcdefgh":
        one = small.ask(text)
        if by_end.get(one.identity, 0) > small.clock.now:
            turn = look(small, text, Ttl(timedelta(), timedelta(days=1)))
            assert isinstance(turn, Lead)
            assert turn.stale is not None
            assert set(turn.stale.answer["text"]) <= {text}
            found[text] = turn.stale.age // MS
    return found


def test_a_question_is_kept_apart_from_another() -> None:
    here = place(os.environ["REDIS_URL"])
    keep(here, "one", Answer({"text": "1"}))
    assert not is_kept(here, "two")
