"""The same traces through the limiter in Redis and in memory."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.messaging.limiter.memory import MemoryLimiter
from apps.messaging.limiter.redis_logs import Contents, RedisConnection, RedisLogs, Stamp
from apps.messaging.limiter.rules import Candidate, Ended, Limit, Log, MissingLogsError, Verdict, Visit

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
AHEAD = 15 * SECOND
EVERYTHING, TENANT, USER = (Log(layer, UUID(int=1), ()) for layer in ("global", "tenant", "user"))
ACCOUNTS = [UUID(int=number) for number in (2, 3, 4)]
epochs = count(1)
FANS = [[UUID(int=10 * number + each) for each in range(3)] for number in range(1, 4)]

# So few that a stamp is often just as old as a window is long.
ages = st.sampled_from([0, SECOND, 5_050_000, AHEAD, AHEAD + 5_050_000])
limits = st.builds(
    Limit,
    count=st.sampled_from([1, 2, 3, 5, 200]),
    seconds=st.sampled_from([5, 20]),
    min_gap_ms=st.sampled_from([0, 0, 0, 1000]),
)


@dataclass
class Pair:
    """Both limiters, and what they were asked."""

    redis: RedisConnection
    memory: MemoryLimiter = field(default_factory=MemoryLimiter)
    epoch: int = 0
    now: int = START
    number: int = 0
    open: list[tuple[Log, Candidate]] = field(default_factory=list)
    # How often each account was granted something.
    claims: Counter[UUID] = field(default_factory=Counter)

    def reserve(self, visits: list[Visit]) -> None:
        expected = self.memory.reserve(visits, ahead=AHEAD, now=self.now)
        assert self._verdicts(visits) == expected
        for visit, verdict in zip(visits, expected, strict=True):
            self.claims[visit.account_id] += bool(verdict.granted)
            for position in verdict.granted:
                candidate = visit.candidates[position]
                others = (*visit.shared[:-1], *candidate.own)
                self.open.append((visit.shared[-1], Candidate(candidate.message_id, 1, others)))

    def settle(self, ages: list[int | None]) -> None:
        """End as many of the open attempts, so long ago."""
        chosen, self.open = self.open[: len(ages)], self.open[len(ages) :]
        by_account: dict[Log, list[Ended]] = {}
        for (account, candidate), age in zip(chosen, ages, strict=False):
            ended = Ended(candidate.message_id, candidate.attempt, age, candidate.own)
            by_account.setdefault(account, []).append(ended)
        full = [self.memory.wait(account, now=self.now) > 0 for account in by_account]
        waits = [self.memory.settle(account, some, now=self.now) for account, some in by_account.items()]
        # Where there was a slot before, nobody asks for the next one.
        expected = [wait if was_full else None for wait, was_full in zip(waits, full, strict=True)]
        assert self.redis.settle(list(by_account.items()), epoch=self.epoch, now=self.now) == expected

    def _verdicts(self, visits: list[Visit]) -> list[Verdict | None]:
        """Redis's, after it has been given what memory held before."""
        try:
            verdicts = self.redis.reserve(visits, epoch=self.epoch, ahead=AHEAD, now=self.now)
        except MissingLogsError as missing:
            raise AssertionError("a log vanished") from missing
        assert None not in verdicts, "an account's log vanished"
        return verdicts

    def load(self, visits: list[Visit]) -> None:
        """Give Redis what memory holds, as after a loss."""
        self.epoch = next(epochs)
        self.redis.set_epoch(self.epoch)
        contents = []
        for visit in visits:
            account, own = visit.shared[-1], {log for each in visit.candidates for log in each.own}
            claims = self.claims[visit.account_id]
            contents.append(replace(self._contents(account, visit.horizon), claims=claims))
            contents += [self._contents(log, log.window) for log in (*visit.shared[:-1], *own)]
        self.redis.load(contents, epoch=self.epoch)

    def _contents(self, log: Log, horizon: int) -> Contents:
        stamps = self.memory.stamps(log)
        return Contents(log, horizon, 100 * SECOND, [Stamp(at, name) for name, at in stamps.items()])


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisConnection]:
    logs = RedisLogs(os.environ["REDIS_URL"])
    with logs.connection() as connection:
        yield connection
    logs.close()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_redis_decides_as_memory_does(redis: RedisConnection, data: st.DataObject) -> None:
    layers = {name: data.draw(limits, label=name).rules for name in ("global", "tenant", "user", "recipient")}
    accounts = [Log("account", each, data.draw(limits, label="account").rules) for each in ACCOUNTS]
    everything, tenant, user = (
        Log(log.layer, log.subject_id, layers[log.layer]) for log in (EVERYTHING, TENANT, USER)
    )
    pair = Pair(redis)

    def candidate(fans: list[UUID]) -> Candidate:
        pair.number += 1
        recipient = Log("recipient", data.draw(st.sampled_from(fans)), layers["recipient"])
        own = (user, recipient) if data.draw(st.booleans()) else (recipient,)
        return Candidate(UUID(int=10_000 + pair.number), 1, own)

    def visits() -> list[Visit]:
        return [
            Visit(
                ACCOUNTS[at],
                (everything, tenant, accounts[at]),
                [candidate(FANS[at]) for _ in range(number)],
                pair.claims[ACCOUNTS[at]],
            )
            for at, number in enumerate(data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)))
        ]

    known = [
        Visit(
            ACCOUNTS[at],
            (everything, tenant, accounts[at]),
            [
                Candidate(UUID(int=9), 1, (user, Log("recipient", fan, layers["recipient"])))
                for fan in FANS[at]
            ],
        )
        for at in range(3)
    ]
    pair.load(known)
    for _ in range(data.draw(st.integers(4, 15), label="steps")):
        match data.draw(st.sampled_from(["reserve", "reserve", "advance", "settle", "lose"])):
            case "reserve":
                pair.reserve(visits())
            case "advance":
                pair.now += data.draw(ages)
            case "settle":
                pair.settle(data.draw(st.lists(st.none() | ages, min_size=1, max_size=8)))
            case "lose":
                pair.load(known)


def test_nothing_is_granted_beside_a_visit_that_cannot_be_decided(redis: RedisConnection) -> None:
    one = Limit(1, 60).rules
    known, unknown = (Log("tenant", uuid7(), one) for _ in range(2))
    accounts = [Log("account", uuid7(), one) for _ in range(2)]
    epoch = next(epochs)
    redis.set_epoch(epoch)
    redis.load([Contents(log, log.window, 100 * SECOND, (), claims=0) for log in accounts], epoch=epoch)
    redis.load([Contents(known, known.window, 100 * SECOND, ())], epoch=epoch)
    visits = [
        Visit(uuid7(), (tenant, account), [Candidate(uuid7(), 1)])
        for tenant, account in zip((known, unknown), accounts, strict=True)
    ]
    with pytest.raises(MissingLogsError) as missing:
        redis.reserve(visits, epoch=epoch, ahead=AHEAD, now=START)
    assert missing.value.logs == (unknown,)
    assert redis.state([known, accounts[0]], epoch=epoch, now=START) == [(1, 0), (1, 0)]


def test_a_shared_log_that_reaches_far_enough_is_not_loaded_again(redis: RedisConnection) -> None:
    """The call may have been under way while others loaded it and were granted something."""
    tenant, account = (Log(layer, uuid7(), Limit(3, 60).rules) for layer in ("tenant", "account"))
    epoch = next(epochs)
    redis.set_epoch(epoch)
    load = [
        Contents(tenant, tenant.window, 100 * SECOND, ()),
        Contents(account, account.window, 100 * SECOND, (), claims=0),
    ]
    redis.load(load, epoch=epoch)
    redis.reserve(
        [Visit(uuid7(), (tenant, account), [Candidate(uuid7(), 1)])], epoch=epoch, ahead=AHEAD, now=START
    )
    redis.load(load, epoch=epoch)
    assert [free for free, _ in redis.state([tenant, account], epoch=epoch, now=START)] == [2, 3]
    further = [
        Contents(tenant, 2 * tenant.window, 100 * SECOND, [Stamp(START, f"{number}") for number in (1, 2)])
    ]
    redis.load(further, epoch=epoch)
    assert redis.state([tenant], epoch=epoch, now=START)[0][0] == 1
