"""The dispatcher's real services on rows of their own, with time, senders and broker played by a test."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from redis import Redis

from apps.common.ids import uuid7
from apps.messaging.gateways.base import (
    Dead,
    HandedBack,
    NotConnected,
    Outcome,
    Request,
    Result,
    Sent,
    Throttled,
    Unauthorised,
    Unknown,
)
from apps.messaging.limiter.redis_logs import PREFIX
from apps.messaging.limiter.rules import Limit, LimiterUnavailableError, to_stamp
from apps.messaging.models import Account, Fan, Message, Mode, Outbox, PlatformState, SendBlock, SendLimit
from apps.messaging.services import accounts as pauses
from apps.messaging.services import (
    breakers,
    claim,
    connections,
    due,
    epoch,
    granting,
    outboxes,
    outcomes,
    send,
    sweep,
)
from apps.messaging.services.send import Clock
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.messaging import dispatching as d
from tests.messaging.simulated_platform import Grant, SimulatedPlatform, Subject

START = datetime(2027, 1, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SWEEP_EVERY = 15 * SECOND
SEND_TIMEOUT = 10 * SECOND
# What can be paused; a text is the platform.
Thing = Account | Outbox | Tenant | str
TERMINAL = frozenset({"sent", "dead", "cancelled"})
NOWHERE = "unix:///nonexistent/redis.sock"
_COUNTERS = ("queued", "sending", "unknown", "sent", "dead", "cancelled")
# In an order that no foreign key minds.
_TABLES = (
    *("message", "messagetemplate", "outbox", "fan", "account"),
    *("sendlimit", "sendblock", "platformstate"),
)


@dataclass(frozen=True)
class Fate:
    """What becomes of a request: after how long it is written, arrives and is answered, and what is heard.

    `recorded` says how far its sender gets with writing the outcome down, `later` how long that takes it.
    """

    kind: str
    write: timedelta = timedelta()
    arrive: timedelta = timedelta()
    answer: timedelta = timedelta()
    accepted: bool = True
    recorded: str = "wholly"
    later: timedelta = timedelta()


GOOD = Fate("sent")


class SenderDied(Exception):  # noqa: N818  # an event, not an error
    """The process that wrote outcomes is gone in the middle of it."""


@dataclass
class World:
    """One example's tenants and accounts, and the machinery around the services."""

    settings: Any
    redis_url: str
    platform: SimulatedPlatform = field(default_factory=SimulatedPlatform)
    now: datetime = START
    skew: timedelta = timedelta()
    events: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    tasks: list[list[UUID]] = field(default_factory=list)
    ended: dict[UUID, str] = field(default_factory=dict)
    outboxes: list[Outbox] = field(default_factory=list)
    limits: dict[tuple[str, UUID | None], Limit] = field(default_factory=dict)
    latest: datetime = START
    _numbers: Any = field(default_factory=count)

    def __post_init__(self) -> None:
        self.forget_rows()
        self.tenants = [factories.tenant(), factories.tenant()]
        self.accounts = [factories.account(tenant=self.tenants[number // 2]) for number in range(3)]
        self.fans = {account.pk: factories.fans(3, account=account) for account in self.accounts}
        self.users = [uuid7(), uuid7()]
        self.of_accounts = {account.pk: Limit(10, 60) for account in self.accounts}
        self.settings.REDIS_URL = self.redis_url
        self.forget()
        epoch.renew(reason="a new example")

    @property
    def at(self) -> int:
        """The limiter's clock."""
        return to_stamp(self.now + self.skew)

    def forget_rows(self) -> None:
        """The rows of other examples: truncating tables would take longer than the example."""
        with system_transaction(), connection.cursor() as cursor:
            for name in _TABLES:
                cursor.execute(f"DELETE FROM messaging_{name}")  # noqa: S608  # the names above

    # What happens.

    def enqueue(
        self, account: Account, number: int, *, user: UUID | None, priority: int, wait: timedelta
    ) -> None:
        """A new outbox with a message to so many of the account's fans."""
        tenant = Tenant(pk=account.tenant_id)
        outbox = factories.outbox(tenant=tenant, priority=priority, user_id=user)
        self.outboxes.append(outbox)
        self.latest = max(self.latest, self.now + wait)
        d.enqueue(account, outbox=outbox, fans=self.fans[account.pk][:number], now=self.now + wait)

    def enqueue_single(self, fan: Fan, *, user: UUID | None) -> None:
        message = factories.message(fan=fan, user_id=user, now=self.now)
        with system_transaction():
            due.bring_forward([message.account_id], at=self.now)

    def advance(self, by: timedelta) -> None:
        """Let time go on, and what was under way happen at its own time."""
        until = self.now + by
        while self.events and self.events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self.events)
            happen()
        self.now = until

    def claim(self) -> Sequence[UUID]:
        """A tick. Its batch's task goes to the broker."""
        limits = dict(self.limits)
        granted: Sequence[UUID] = ()
        with suppress(LimiterUnavailableError):
            granted = claim.claim_messages(now=self.now, at=self.at).message_ids
        if granted:
            with system_transaction():
                rows = list(Message.objects.filter(pk__in=granted))
            for message in rows:
                self.platform.grants[message.pk, message.attempt] = self._grant(message, limits)
            self.tasks.append(list(granted))
        return granted

    def claim_and_die(self) -> None:
        """A claim that has its slots, and is gone before it commits."""
        with pytest.MonkeyPatch.context() as patch, suppress(SenderDied, LimiterUnavailableError):
            patch.setattr(granting, "grant", die)
            claim.claim_messages(now=self.now, at=self.at)

    def start(self, task: Sequence[UUID]) -> send.Batch:
        """A sender takes a task; what becomes of what it starts is for the test to say."""
        clock = Clock(now=self.now, monotonic=0.0)
        return send.start(message_ids=task, clock=clock, platforms=["onlyfans"], at=self.at)

    def deliver(self, task: Sequence[UUID], fates: Sequence[Fate]) -> None:
        """A sender takes a task: what it may start goes its way."""
        batch = self.start(task)
        send.hand_back(batch, Clock(now=self.now, monotonic=0.0))
        for position, request in enumerate(batch.requests):
            self._go(request, batch.epoch, fates[position % len(fates)])

    def sweep(self) -> None:
        with suppress(LimiterUnavailableError):
            sweep.recover_messages(now=self.now)
            sweep.sweep_messages(now=self.now)

    def forget(self, keys: str = "*") -> None:
        """Redis loses some of the limiter's keys: by a flush, or logs that nobody asked for lately."""
        with Redis.from_url(self.redis_url) as redis:
            for key in redis.scan_iter(f"{PREFIX}:{keys}"):
                redis.delete(key)

    def save_redis(self) -> dict[bytes, bytes]:
        """The limiter's keys as a file keeps them."""
        with Redis.from_url(self.redis_url) as redis:
            return {key: redis.dump(key) for key in redis.scan_iter(f"{PREFIX}:*")}

    def restart_redis(self, saved: dict[bytes, bytes]) -> None:
        """Redis starts from a file; it is another server then, by its `run_id`."""
        self.forget()
        with Redis.from_url(self.redis_url) as redis:
            for key, value in saved.items():
                redis.restore(key, 0, value)
            number = (redis.get(f"{PREFIX}:epoch") or b"0").decode().partition(":")[0]
            redis.set(f"{PREFIX}:epoch", f"{number}:another")

    def lose_redis(self, *, mode: Mode) -> None:
        """Redis can't be reached; whether PostgreSQL decides instead is the mode."""
        self.settings.REDIS_URL = NOWHERE
        if mode == Mode.POSTGRES:
            epoch.renew(reason="Redis is away", mode=Mode.POSTGRES)

    def find_redis(self) -> None:
        self.settings.REDIS_URL = self.redis_url
        with system_transaction():
            away = epoch.current().mode == Mode.POSTGRES
        if away:
            epoch.renew(reason="Redis is back", mode=Mode.REDIS)

    def limit_account(self, account: Account, limit: Limit) -> None:
        self.of_accounts[account.pk] = limit
        with tenant_transaction(account.tenant_id):
            connections.change_account(
                account_id=account.pk,
                now=self.now,
                limit_count=limit.count,
                limit_seconds=int(limit.seconds),
                min_gap_ms=limit.min_gap_ms,
            )

    def limit_layer(self, layer: str, subject: UUID | None, limit: Limit | None) -> None:
        """Set or remove the limit of a recipient, user, tenant or of everything."""
        with system_transaction():
            if limit is None:
                self.limits.pop((layer, subject), None)
                SendLimit.objects.filter(layer=layer, subject_id=subject).delete()
            else:
                self.limits[layer, subject] = limit
                SendLimit.objects.update_or_create(
                    layer=layer,
                    subject_id=subject,
                    defaults={
                        "count": limit.count,
                        "seconds": int(limit.seconds),
                        "min_gap_ms": limit.min_gap_ms,
                    },
                )

    def pause(self, thing: Thing) -> None:
        with system_transaction():
            match thing:
                case Account():
                    pauses.pause_account(account=thing, now=self.now)
                case Outbox():
                    outboxes.pause(outbox=thing, now=self.now)
                case Tenant():
                    Tenant.objects.filter(pk=thing.pk).update(paused_at=self.now)
                case _:
                    PlatformState.objects.update_or_create(
                        platform="onlyfans", defaults={"paused_at": self.now}
                    )

    def resume(self, thing: Thing) -> None:
        with system_transaction():
            match thing:
                case Account():
                    pauses.resume_account(account=thing, now=self.now)
                case Outbox():
                    thing.refresh_from_db()
                    if not thing.cancelled_at:
                        outboxes.resume(outbox=thing, now=self.now)
                case Tenant():
                    Tenant.objects.filter(pk=thing.pk).update(paused_at=None)
                case _:
                    PlatformState.objects.update(paused_at=None)

    def cancel(self, outbox: Outbox) -> None:
        with system_transaction():
            outboxes.cancel(outbox=outbox, now=self.now)

    # What must hold.

    def look(self) -> "Rows":
        """All rows that matter, as they are now. Ends are final and true, and the counters are the rows."""
        with system_transaction():
            rows = Rows(
                messages=list(Message.objects.order_by("pk")),
                outboxes=list(Outbox.objects.all()),
                next_dues=list(Account.objects.order_by("pk").values_list("next_due", flat=True)),
                others=[
                    *SendBlock.objects.values_list("until", flat=True),
                    *PlatformState.objects.values_list("open_until", flat=True),
                ],
            )
        for row in rows.messages:
            if row.pk in self.ended:
                assert row.state == self.ended[row.pk], f"{row.pk} has left its end"
            elif row.state in TERMINAL:
                self.ended[row.pk] = row.state
                if row.state == "sent":
                    assert self.platform.accepted[row.pk], "called sent, but it never was"
        for box in rows.outboxes:
            states = [row.state for row in rows.messages if row.outbox_id == box.pk]
            assert {name: getattr(box, name) for name in _COUNTERS} == {
                name: states.count(name) for name in _COUNTERS
            }
        return rows

    def heal(self) -> None:
        """Whatever stands in the way goes away; what is under way ends as it was going to."""
        while self.events:  # what happens may have something else happen later
            self.advance(max(event[0] for event in self.events) - self.now)
        self.find_redis()
        self.skew = timedelta()
        if self.platform.look_ups == "failing":
            self.platform.look_ups = "truthful"
        with system_transaction():
            paused: list[Thing] = [
                *Account.objects.exclude(paused_at=None),
                *Outbox.objects.exclude(paused_at=None),
                *Tenant.objects.exclude(paused_at=None),
                "platform",
            ]
        for thing in paused:
            self.resume(thing)

    def bound(self, number: int) -> timedelta:
        """By when so many messages must have come to their ends, once all is well.

        Each layer lets its share through per window, which opens at latest arrival plus margin; a sweep
        notices it. Before that: leases, look-ups, back-off, the platform's Retry-After, a probe.
        """
        rounds = timedelta()
        for limit in (*self.limits.values(), *self.of_accounts.values(), Limit(10, 60)):
            width = max(limit.seconds, limit.min_gap_ms / 1000) * 1.01 * SECOND
            each = 1 if limit.min_gap_ms else limit.count
            rounds += ceil(number / each) * (width + 15 * SECOND + SWEEP_EVERY)
        lease_and_look_up = (30 + 15 + 300 + 60) * SECOND
        back_off, throttled, breaker = 300 * SECOND, 60 * SECOND, 90 * SECOND
        absent = timedelta(hours=26) if self.platform.look_ups == "absent" else timedelta()
        later = max(timedelta(), self.latest - self.now)
        return rounds + lease_and_look_up + back_off + throttled + breaker + absent + later

    def run_out(self) -> None:
        """Let everything come to its end, with a tick whenever something is due and a sweep every 15 s.

        The ticks and sweeps that would find everything as it was are left out.
        """
        before, quiet = self.look(), False
        deadline = self.now + self.bound(len(before.unfinished))
        while before.unfinished:
            assert self.now <= deadline, f"never ends: {[(row.pk, row.state) for row in before.unfinished]}"
            if self.claim():
                for task in self.tasks:
                    self.deliver(task, [GOOD])
                self.tasks.clear()
                self.advance(timedelta())
            else:
                self.sweep()
            after = self.look()
            changed = after.fingerprint != before.fingerprint
            soonest = min([*after.moments(self.now), *(event[0] for event in self.events)], default=None)
            most = SECOND if changed else SWEEP_EVERY
            if changed or not quiet or soonest is None:
                self.advance(min(most, (soonest or self.now + most) - self.now))
            else:
                self.advance(soonest - self.now)
            before, quiet = after, not changed

    def _grant(self, message: Message, limits: dict[tuple[str, UUID | None], Limit]) -> Grant:
        box = next((each for each in self.outboxes if each.pk == message.outbox_id), None)
        user_id = message.user_id or (box.user_id if box else None)
        found: dict[Subject, Limit] = {
            ("account", message.account_id): self.of_accounts[message.account_id],
            ("recipient", message.fan_id): limits.get(("recipient", None), Limit(10, 60)),
        }
        subjects: set[Subject] = {*found, ("global", None), ("tenant", message.tenant_id)}
        subjects |= {("user", user_id)} if user_id else set()
        for subject in subjects - set(found):
            layer, of = subject
            if limit := limits.get((layer, of)) or limits.get((layer, None)):
                found[subject] = limit
        return Grant(next(self._numbers), frozenset(subjects), found)

    def _go(self, request: Request, in_force: epoch.Epoch, fate: Fate) -> None:
        """Schedule what becomes of a request that a sender has in hand."""
        write_by = timedelta(seconds=request.write_by)
        written = self.now + fate.write
        if fate.write > write_by:
            self._at(written, lambda: self._record(request, HandedBack(), in_force, fate))
            return
        if fate.kind == "not_connected":
            outcome = NotConnected(error="refused")
            self._at(written + fate.answer, lambda: self._record(request, outcome, in_force, fate))
            return
        if fate.kind == "died_unwritten":
            return
        self._at(written, lambda: self.platform.written(request))
        arrived = written + fate.arrive
        if fate.kind == "timed_out":
            # It may still come when its sender has given up, though not after its stamp.
            arrived = min(written + SEND_TIMEOUT + fate.answer, self.now + write_by + SEND_TIMEOUT)
        if fate.kind != "lost":
            accept = fate.kind == "sent" or (fate.accepted and fate.kind in _MAYBE)
            self._at(arrived, lambda: self.platform.arrive(request, self.now, accept=accept))
        ended = min(arrived + fate.answer, written + SEND_TIMEOUT)
        if fate.kind in ("timed_out", "lost"):
            ended = written + SEND_TIMEOUT
        if fate.kind != "died":
            self._at(ended, lambda: self._record(request, _outcome(fate.kind), in_force, fate))

    def _record(self, request: Request, outcome: Outcome, in_force: epoch.Epoch, fate: Fate) -> None:
        """The outcome is known; it is written down now, later, in part or not at all."""
        result = Result(request=request, outcome=outcome, ended_at=self.now)

        def write() -> None:
            with pytest.MonkeyPatch.context() as patch, suppress(SenderDied):
                if fate.recorded == "only in Redis":
                    patch.setattr(breakers, "note", die)
                outcomes.record(results=[result], epoch=in_force, now=self.now, at=self.at)
            if fate.recorded != "only in Redis" and isinstance(outcome, Dead | Throttled | Unauthorised):
                self.platform.refused(request)

        self._at(self.now + fate.later, write)

    def _at(self, when: datetime, happen: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self._numbers), happen))


@dataclass(frozen=True)
class Rows:
    """What the tables say at one moment."""

    messages: list[Message]
    outboxes: list[Outbox]
    next_dues: list[datetime | None]
    others: list[datetime | None]

    @property
    def unfinished(self) -> list[Message]:
        return [row for row in self.messages if row.state not in TERMINAL]

    @property
    def fingerprint(self) -> object:
        return self.next_dues, [(row.pk, row.state, row.attempt, row.not_before) for row in self.messages]

    def moments(self, now: datetime) -> list[datetime]:
        """The instants to come that rows name. A sweep looks for what lies before its time, not at it."""
        moments = [*self.next_dues, *self.others]
        for row in self.unfinished:
            moments += [row.look_up_at, row.lease_expires_at, row.send_by and row.send_by + SECOND]
        return [each + timedelta(microseconds=1) for each in moments if each and each >= now]


_MAYBE = frozenset({"server_error", "malformed", "timed_out", "cut", "died"})


def _outcome(kind: str) -> Outcome:
    match kind:
        case "sent":
            return Sent(platform_id="1")
        case "refused":
            return Dead(reason="forbidden", error="no")
        case "unauthorised":
            return Unauthorised(error="401")
        case "throttled":
            return Throttled(retry_after=20 * SECOND)
        case "timed_out" | "lost":
            return Unknown(reason="timed_out", error="", over=False)
        case _:
            return Unknown(reason=kind, error="")


def die(*_: object, **__: object) -> Any:
    """In place of a function: the process ends there."""
    raise SenderDied


@contextmanager
def simulated(settings: Any, platform: Callable[[], SimulatedPlatform]) -> Iterator[None]:
    """Services that ask the simulated platform, and whose monotonic clock stands still."""
    settings.ONLYFANS_API_URL = "http://platform.invalid"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.messaging.gateways.registry.OnlyFansGateway", lambda **_: platform())
        patch.setattr(Clock, "time", lambda self: self.now)
        patch.setattr(breakers, "OPENS_AFTER", 3)
        yield
