"""Any order of what may happen to a flight: nobody is stuck, and there are never two leaders at a time within
their leases, but where one who is in a hurry takes over.
"""

import os
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from typing import Any

import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from apps.ai.flights.calls import own_list
from apps.ai.flights.ttl import NOT_CACHED, Ttl
from apps.ai.flights.turns import Again, Answer, Ask, Hit, Inherent, Join, Lead, Told, Turn
from tests.ai.flying import place

LEASE = timedelta(seconds=3)
MS = timedelta(milliseconds=1)
# For how long callers take, and for how long they wait.
HURRY: list[dict[str, Any]] = [
    {"takes": timedelta(seconds=20), "waits": timedelta(seconds=20)},
    {"takes": timedelta(seconds=240), "waits": timedelta(seconds=240)},
    {"takes": timedelta(seconds=2.5), "waits": None},
]
CALLERS = 5
# In milliseconds: whoever hasn't begun again so long after its wait has gone (LATE_MS of the script).
LATE = 5000

callers = st.integers(0, CALLERS - 1)


@dataclass(eq=False)
class Caller:
    """What somebody knows of its question: whether it leads and until when nobody else may, or what it waits
    for and until when."""

    ask: Ask
    leads: bool = False
    leads_until: int = 0
    join: Join | None = None
    waits_until: int = 0
    told: list[Told] = field(default_factory=list)


class Flight(RuleBasedStateMachine):
    """Callers of one question, who begin, extend, end, wait, die and come late."""

    TTL = NOT_CACHED

    def __init__(self) -> None:
        super().__init__()
        self.place = place(os.environ["REDIS_URL"])
        self.client = redis.Redis.from_url(os.environ["REDIS_URL"])
        self.hurry = cycle(HURRY)
        self.callers = [self._newcomer() for _ in range(CALLERS)]
        self.number = 0
        # What the script should know.
        self.leader: Caller | None = None
        self.ends = self.until = 0
        self.waiters: dict[str, Caller] = {}
        self.cached: tuple[Answer, int] | None = None

    def teardown(self) -> None:
        try:
            self._everybody_is_answered()
        finally:
            self.client.close()

    @property
    def now(self) -> int:
        return self.place.clock.now

    def _newcomer(self) -> Caller:
        return Caller(self.place.ask(ttl=self.TTL, lease=LEASE, **next(self.hurry)))

    @rule(who=callers)
    def begin(self, who: int) -> None:
        """Whoever is new, waits, or isn't sure that it began."""
        caller = self.callers[who]
        turn = self.place.desk.begin(caller.ask).turn
        told = next((each for each in caller.told if not isinstance(each, Again)), None)
        if told is not None:
            assert turn == told
            self._leave(who)
            return
        caller.told.clear()
        if self._fresh(turn):
            self._leave(who)
        elif self.leader not in (None, caller) and self.ends > self.now and self._can_wait(caller):
            assert turn == Join(caller.ask, (self.ends - self.now) * MS)
            caller.join, caller.leads, caller.waits_until = turn, False, self.ends
            self.waiters[caller.ask.token] = caller
        else:
            assert turn == Lead(caller.ask)
            self._lead(caller)

    def _can_wait(self, caller: Caller) -> bool:
        return caller.ask.waits is None or self.until - self.now <= caller.ask.waits // MS

    def _fresh(self, turn: Turn) -> bool:
        if self.cached is None or self.now - self.cached[1] >= self.TTL.fresh // MS:
            return False
        assert turn == Hit(self.cached[0].answer, (self.now - self.cached[1]) * MS)
        return True

    def _lead(self, caller: Caller) -> None:
        if self.leader is not None:
            self.leader.leads = False
        caller.leads, caller.join = True, None
        self.leader, self.ends = caller, self.now + LEASE // MS
        self.until = self.now + caller.ask.takes // MS
        caller.leads_until = self.ends
        self.waiters.pop(caller.ask.token, None)

    def _leave(self, who: int) -> None:
        """Somebody else takes the place of one who has gone, without a word."""
        self.callers[who] = self._newcomer()

    @rule(who=callers)
    def die(self, who: int) -> None:
        self._leave(who)

    @rule(who=callers)
    def extend(self, who: int) -> None:
        caller = self.callers[who]
        is_leader = self.leader is caller
        assert self.place.desk.extend(caller.ask, LEASE) == is_leader
        if is_leader:
            self.ends = caller.leads_until = self.now + LEASE // MS

    @rule(who=callers, how=st.sampled_from(["answer", "inherent", "again"]))
    def end(self, who: int, how: str) -> None:
        """By leaders, by those who no longer are, and by those who never began."""
        caller = self.callers[who]
        self.number += 1
        tells: dict[str, Told] = {
            "answer": Answer({"text": str(self.number)}),
            "inherent": Inherent({"code": str(self.number)}),
            "again": Again(),
        }
        told = tells[how]
        self.place.desk.end(caller.ask, told)
        if isinstance(told, Answer) and self.TTL.stale:
            self.cached = (told, self.now)
        if self.leader is caller:
            late = {token: each for token, each in self.waiters.items() if each.waits_until + LATE < self.now}
            for waiter in [each for token, each in self.waiters.items() if token not in late]:
                waiter.told.append(told)
            # Whoever takes over tells those, too, who haven't begun again by then.
            gone = late if isinstance(told, Again) else dict(self.waiters)
            for token in gone:
                del self.waiters[token]
            self.leader = None
        self._leave(who)

    @precondition(lambda self: any(each.told for each in self.callers))
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from([who for who, each in enumerate(self.callers) if each.told]))
        caller = self.callers[who]
        assert caller.join is not None
        told = self.place.desk.wait(caller.join, seconds=10)
        assert told == caller.told.pop(0)
        if not isinstance(told, Again):
            self._leave(who)

    @rule(milliseconds=st.sampled_from([1, 1000, 2999, 3000, 10_000]))
    def pass_time(self, milliseconds: int) -> None:
        self.place.clock.forward(milliseconds * MS)
        # Whoever waits begins again when the lease is over that it was told of.
        for who, caller in enumerate(self.callers):
            if caller.join is not None and not caller.told and caller.waits_until <= self.now:
                self.begin(who)

    @invariant()
    def at_most_one_leads(self) -> None:
        leading = [each for each in self.callers if each.leads and each.leads_until > self.now]
        assert len(leading) <= 1

    @invariant()
    def everybody_was_told_what_it_should_have_been(self) -> None:
        for caller in self.callers:
            assert self.client.llen(own_list(caller.ask)) == len(caller.told)

    def _everybody_is_answered(self) -> None:
        """Whatever has happened, as soon as one leader answers, all have an answer."""
        self.place.clock.forward(LEASE + self.TTL.stale)
        self.leader = None
        turns = [self.place.desk.begin(each.ask).turn for each in self.callers]
        leads = [turn for turn in turns if isinstance(turn, Lead)]
        joins = [turn for turn in turns if isinstance(turn, Join)]
        assert leads or not joins
        for turn in leads:  # the last one has taken over from those before it
            self.place.desk.end(turn.ticket, Answer({"text": "at last"}))
        for join in joins:
            assert self.place.desk.wait(join, seconds=10) == Answer({"text": "at last"})


class CachedFlight(Flight):
    """The same with a cache, whose answers are fresh for some time."""

    # Redis forgets by its own clock, which an example must not outrun.
    TTL = Ttl(fresh=timedelta(seconds=10), stale=timedelta(seconds=10))


TestFlight = Flight.TestCase
TestFlight.settings = settings(max_examples=60, stateful_step_count=40)
TestCachedFlight = CachedFlight.TestCase
TestCachedFlight.settings = settings(max_examples=40, stateful_step_count=40)
