"""The limiter's three forms side by side: the same questions to each, and whether their answers agree."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import connection
from redis import Redis

from apps.common.ids import uuid7
from apps.messaging.limiter import sql_logs
from apps.messaging.limiter.memory import MemoryLimiter
from apps.messaging.limiter.redis_logs import PREFIX, RedisConnection
from apps.messaging.limiter.rules import (
    Candidate,
    Ended,
    Limit,
    Log,
    MissingLogsError,
    Verdict,
    Visit,
    from_stamp,
    member,
)
from apps.messaging.models import Account, Fan, Message, MessageState
from apps.messaging.services import epoch
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
AHEAD = 15 * SECOND

Limits = dict[str, Limit | None]


def forget(keys: str = "*") -> None:
    """Delete some of the limiter's keys, as a flush or their expiry does."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        for key in redis.scan_iter(f"{PREFIX}:{keys}"):
            redis.delete(key)


def begin_epoch() -> None:
    """What follows a loss of Redis's data, and every change of a limit that isn't an account's."""
    forget()
    epoch.renew(reason="a test")


@dataclass
class Asked:
    """A message, its logs besides the account's, and how its latest attempt stands."""

    row: Message
    user_id: UUID
    attempt: int = 0
    open: bool = False
    slots: list[int] = field(default_factory=list)


@dataclass
class Twins:
    """Accounts of one tenant, their fans, two users; limits of every layer; a clock."""

    tenant: Tenant
    accounts: Sequence[Account]
    fans: Sequence[Sequence[Fan]]
    users: Sequence[UUID]
    limits: Limits
    now: int = START
    memory: MemoryLimiter = field(default_factory=MemoryLimiter)
    messages: list[Asked] = field(default_factory=list)
    # How often each account was granted something.
    claims: Counter[UUID] = field(default_factory=Counter)

    def log(self, layer: str, subject: UUID | None) -> Log | None:
        limit = self.limits.get(layer)
        return Log(layer, subject, limit.rules) if limit else None

    def account_log(self, account: Account) -> Log:
        found = self.log("account", account.pk)
        assert found
        return found

    def shared(self, account: Account) -> tuple[Log, ...]:
        above = (self.log("global", None), self.log("tenant", self.tenant.pk))
        return (*(each for each in above if each), self.account_log(account))

    def own(self, message: Asked) -> tuple[Log, ...]:
        own = (self.log("user", message.user_id), self.log("recipient", message.row.fan_id))
        return tuple(each for each in own if each)

    def every_log(self, message: Asked) -> tuple[Log, ...]:
        """Those of layers that have no limit at the moment, too."""
        subjects = {"global": None, "tenant": self.tenant.pk, "user": message.user_id}
        subjects |= {"account": message.row.account_id, "recipient": message.row.fan_id}
        return tuple(Log(layer, subject, ()) for layer, subject in subjects.items())

    def ask(self, asked: Sequence[tuple[Account, Sequence[Asked]]]) -> list[Verdict]:
        """Have all three decide, insist that they agree, and write what was granted into the rows."""
        visits = [
            Visit(
                account.pk,
                self.shared(account),
                [Candidate(each.row.pk, each.attempt + 1, self.own(each)) for each in messages],
                self.claims[account.pk],
            )
            for account, messages in asked
        ]
        # Visits whose logs Redis has to load first come last there, so they do elsewhere.
        order, by_redis = self.reserve_in_redis(visits)
        visits, asked = [visits[each] for each in order], [asked[each] for each in order]
        with system_transaction():
            by_sql = sql_logs.reserve(visits, ahead=AHEAD, now=from_stamp(self.now))
        by_python = self.memory.reserve(visits, ahead=AHEAD, now=self.now)
        assert by_redis == by_python, "Redis differs from Python"
        assert by_sql == by_python, "PostgreSQL differs from Python"
        given = zip(visits, by_python, strict=True)
        self.claims.update({visit.account_id for visit, verdict in given if verdict.granted})
        for (_, messages), verdict in zip(asked, by_python, strict=True):
            for position in verdict.granted:
                each = messages[position]
                each.attempt, each.open = each.attempt + 1, True
                each.slots.append(self.now + AHEAD)
                self.save(each)
                for log in self.every_log(each):
                    # Rows and epochs know what was granted while a layer had no limit.
                    self.memory._logs[log.name][member(each.row.pk, each.attempt)] = self.now + AHEAD
        return by_python

    def reserve_in_redis(self, visits: Sequence[Visit]) -> tuple[list[int], list[Verdict]]:
        """As a claim does it: what Redis doesn't know is loaded from the rows. In the order of deciding."""
        try:
            return self.reserve_known(visits)
        except MissingLogsError as missing:
            epoch.load_shared(missing.logs, now=from_stamp(self.now))
            return self.reserve_known(visits)

    def reserve_known(self, visits: Sequence[Visit]) -> tuple[list[int], list[Verdict]]:
        with self.redis() as (redis, in_force):
            verdicts = redis.reserve(visits, epoch=in_force.number, ahead=AHEAD, now=self.now)
            cold = [position for position, verdict in enumerate(verdicts) if verdict is None]
            again = [visits[position] for position in cold]
            epoch.load_accounts(again, redis, epoch=in_force, now=from_stamp(self.now))
            for position, verdict in zip(
                cold,
                redis.reserve(again, epoch=in_force.number, ahead=AHEAD, now=self.now),
                strict=True,
            ):
                verdicts[position] = verdict
        order = [each for each in range(len(visits)) if each not in cold] + cold
        decided = [verdict for verdict in (verdicts[each] for each in order) if verdict is not None]
        assert len(decided) == len(verdicts)
        return order, decided

    def settle(self, message: Asked, *, age: int | None) -> None:
        """Its attempt is over: so long ago, or it never began."""
        account = next(each for each in self.accounts if each.pk == message.row.account_id)
        account_log = self.account_log(account)
        others = (*self.shared(account)[:-1], *self.own(message))
        if age is None:
            message.slots.pop()
        else:
            message.slots[-1] = min(message.slots[-1], self.now - age)
        message.open = False
        ended = Ended(message.row.pk, message.attempt, age, others)
        self.save(message)
        self.settle_in_redis(account_log, ended)
        everywhere = Ended(message.row.pk, message.attempt, age, self.every_log(message))
        wait = self.memory.settle(account_log, [everywhere], now=self.now)
        with system_transaction():
            assert sql_logs.waits([account_log], now=from_stamp(self.now)) == [wait]

    def settle_in_redis(self, account_log: Log, ended: Ended) -> None:
        with self.redis() as (redis, in_force):
            redis.settle([(account_log, [ended])], epoch=in_force.number, now=self.now)

    def compare(self) -> None:
        """How long each log that Redis knows has no slot, and how many slots it has, by all three."""
        logs = [log for account in self.accounts for log in self.shared(account)]
        logs += [log for message in self.messages for log in self.own(message)]
        # Redis has none of recipients.
        logs = sorted({log for log in logs if log.layer != "recipient"}, key=str)
        recipients = sorted({self.own(message)[-1] for message in self.messages}, key=str)
        with self.redis() as (redis, in_force):
            states = redis.state(logs, epoch=in_force.number, now=self.now)
            by_sql = sql_logs.waits([*logs, *recipients], now=from_stamp(self.now))
        by_python = [self.memory.wait(log, now=self.now) for log in (*logs, *recipients)]
        assert by_sql == by_python, "PostgreSQL differs from Python"
        for log, (free, wait) in zip(logs, states, strict=True):
            if free >= 0:
                assert wait == self.memory.wait(log, now=self.now), f"Redis's {log.name}"
                assert free == self.memory.free(log, now=self.now), f"Redis's {log.name}"

    def next_opening(self) -> int:
        """How long until the first log of the accounts that has no slot has one; at least a microsecond."""
        logs = [log for account in self.accounts for log in self.shared(account)]
        waits = [self.memory.wait(log, now=self.now) for log in logs]
        return min((wait for wait in waits if wait), default=1)

    @contextmanager
    def redis(self) -> Iterator[tuple[RedisConnection, epoch.Epoch]]:
        with system_transaction(), epoch.logs().connection() as redis:
            yield redis, epoch.current()

    def add(self, account: int, fan: int, user: int) -> Asked:
        row = factories.message(fan=self.fans[account][fan], user_id=self.users[user])
        self.messages.append(Asked(row, self.users[user]))
        return self.messages[-1]

    def save(self, message: Asked) -> None:
        slots = [from_stamp(slot) for slot in message.slots]
        end = from_stamp(self.now)
        with system_transaction():
            Message.objects.filter(pk=message.row.pk).update(
                attempt=message.attempt,
                slots=slots,
                state=MessageState.SENDING if message.open else MessageState.QUEUED,
                lease_expires_at=end if message.open else None,
                send_by=end if message.open else None,
            )


def twins(*, accounts: int, limits: Limits) -> Twins:
    """Rows to ask about, with no stamps anywhere."""
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM messaging_message")
    begin_epoch()
    tenant = factories.tenant()
    made = [factories.account(tenant=tenant) for _ in range(accounts)]
    return Twins(
        tenant=tenant,
        accounts=made,
        fans=[factories.fans(2, account=account) for account in made],
        users=[uuid7() for _ in range(2)],
        limits=limits,
    )
