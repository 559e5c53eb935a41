"""Sending a batch: start it, wait without a transaction or a connection to the database, record outcomes."""

import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection

from apps.common.connections import give_back_connection
from apps.messaging.gateways import client
from apps.messaging.gateways.base import Gateway, Request, Result
from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.limiter.rules import Log
from apps.messaging.models import Account, Message, Outbox, PlatformState
from apps.messaging.services import epoch, outcomes, quiet_hours
from apps.messaging.services.limits import Limits, read_limits
from apps.messaging.services.pressure import PRESSURE
from apps.messaging.timing import CONTROL_AGE, SEND_WITHIN
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# When to try again to write outcomes that the database didn't take. Then the sweep finds the messages, and
# accounts are looked at when the latest of them might have arrived.
RECORD_AGAIN = [timedelta(seconds=seconds) for seconds in (0.05, 0.2, 0.5, 2, 5, 10, 10)]

# Those that nobody has started; the last column says whether anything of the message's own stops it.
_START = """
UPDATE messaging_message AS message SET started_at = %(now)s
FROM unnest(%(ids)s::uuid[]) AS asked (id), messaging_fan fan, tenants_tenant tenant
WHERE message.id = asked.id AND message.state = 'sending' AND message.started_at IS NULL
  AND message.send_by > %(now)s AND fan.id = message.fan_id AND tenant.id = message.tenant_id
RETURNING message.id, message.attempt, message.send_by, message.text, message.price, message.media,
    message.is_probe, message.tenant_id, message.user_id, message.outbox_id, message.account_id,
    message.fan_id, fan.external_id, fan.time_zone,
    message.epoch = %(epoch)s AND fan.consent AND tenant.paused_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time that goes on from `now` by the monotonic clock, which no correction moves."""

    now: datetime
    monotonic: float

    @classmethod
    def at(cls, now: datetime) -> "Clock":
        return cls(now=now, monotonic=time.monotonic())

    def time(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self.monotonic)

    def deadline(self, when: datetime) -> float:
        """An instant on the monotonic clock, in seconds."""
        return self.monotonic + (when - self.now).total_seconds()


@dataclass(frozen=True, slots=True)
class Batch:
    """What was started. Its outcomes are judged by the limits and the epoch that it was started under."""

    requests: Sequence[Request]
    epoch: epoch.Epoch
    # The time of the limiter: None is Redis's own clock.
    at: int | None
    # What was stopped meanwhile.
    barred: Sequence[UUID] = ()


def send_batch(*, message_ids: Sequence[UUID], now: datetime, at: int | None = None) -> None:
    """Send the granted messages that nobody has started: a second delivery of the task sends nothing."""
    clock = Clock.at(now)
    gateways = connected_platforms()
    batch = start(message_ids=message_ids, clock=clock, platforms=gateways, at=at)
    give_back_connection()
    calls = (_send(gateways[request.platform], request, clock) for request in batch.requests)
    books = _Books(batch, clock)
    for results in client.stream(calls):
        books.record(results)
    hand_back(batch, clock)
    for wait in RECORD_AGAIN:
        if books.closed:
            return
        time.sleep(wait.total_seconds())
        books.record()
    if not books.closed:
        log.error("batch.not_recorded", number=len(books.left), put_off=len(books.put_off.account_ids))


def start(
    *, message_ids: Sequence[UUID], clock: Clock, platforms: Iterable[str], at: int | None = None
) -> Batch:
    """Mark as started what may still be sent, and say how; and what was stopped meanwhile.

    In the order of the ids given, which is that of the claim: tenants in turn.
    """
    now = clock.now
    control_expires_at = clock.time() + CONTROL_AGE
    with system_transaction():
        in_force = epoch.current()
        rows = _start(message_ids, in_force, now=now)
        outboxes = _outboxes({row.outbox_id for row in rows if row.outbox_id})
        subjects = {subject for row in rows for subject in (row.tenant_id, row.user_id)}
        limits = read_limits({*subjects, *(outbox.user_id for outbox in outboxes.values())})
        senders = _senders({row.account_id for row in rows}, limits, platforms, now=now)
        started = [_Started(row, senders[row.account_id], outboxes.get(row.outbox_id)) for row in rows]
        barred = [each.row.id for each in started if not each.goes(now=now)]
        if barred:
            Message.objects.filter(pk__in=barred).update(started_at=None)
    stopped = frozenset(barred)
    requests = [
        each.request(limits, clock, control_expires_at=control_expires_at)
        for each in started
        if each.row.id not in stopped
    ]
    return Batch(requests=requests, epoch=in_force, at=at, barred=barred)


def hand_back(batch: Batch, clock: Clock) -> None:
    """Return what was stopped to the queue; what can't be is taken back by the sweep."""
    if not batch.barred:
        return
    try:
        outcomes.hand_back(message_ids=batch.barred, now=clock.time(), at=batch.at)
    except (OperationalError, InterfaceError) as error:
        log.warning(
            "batch.not_handed_back", number=len(batch.barred), error=f"{type(error).__name__}: {error}"
        )
    finally:
        give_back_connection()


class _Row(NamedTuple):
    id: UUID
    attempt: int
    send_by: datetime
    text: str
    price: Decimal | None
    media: str
    is_probe: bool
    tenant_id: UUID
    user_id: UUID | None
    outbox_id: UUID | None
    account_id: UUID
    fan_id: UUID
    recipient: str
    time_zone: str
    goes: bool


@dataclass(frozen=True, slots=True)
class _Sender:
    """An account, whether it may send, and the logs that all its messages are in, its own being the last."""

    account: Account
    goes: bool
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class _Started:
    """A message that nobody else can start any more."""

    row: _Row
    sender: _Sender
    outbox: Outbox | None

    def goes(self, *, now: datetime) -> bool:
        """Whether nothing has stopped it since its grant."""
        if not self.row.goes or not self.sender.goes:
            return False
        if self.outbox and (self.outbox.paused_at or self.outbox.cancelled_at):
            return False
        return not quiet_hours.of_fan(self.sender.account, zone=self.row.time_zone, now=now)

    def request(self, limits: Limits, clock: Clock, *, control_expires_at: datetime) -> Request:
        row, account, (*above, of_account) = self.row, self.sender.account, self.sender.logs
        user_id = row.user_id or (self.outbox.user_id if self.outbox else None)
        own = limits.own_logs(platform=account.platform, user_id=user_id, fan_id=row.fan_id)
        return Request(
            message_id=row.id,
            attempt=row.attempt,
            account_id=row.account_id,
            platform=account.platform,
            account=account.external_id,
            credential=account.credential,
            recipient=row.recipient,
            text=row.text,
            price=row.price,
            media=json.loads(row.media),
            granted_at=clock.deadline(row.send_by - SEND_WITHIN),
            write_by=clock.deadline(min(row.send_by, control_expires_at)),
            is_probe=row.is_probe,
            account_log=of_account,
            logs=(*above, *own),
        )


def _start(message_ids: Sequence[UUID], in_force: epoch.Epoch, *, now: datetime) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_START, {"ids": sorted(message_ids), "epoch": in_force.number, "now": now})
        rows = {row.id: row for row in map(_Row._make, cursor.fetchall())}
    return [rows[message_id] for message_id in message_ids if message_id in rows]


def _outboxes(outbox_ids: Collection[UUID]) -> dict[UUID | None, Outbox]:
    if not outbox_ids:
        return {}
    return dict(Outbox.objects.only("user_id", "paused_at", "cancelled_at").in_bulk(outbox_ids))


def _senders(
    account_ids: Collection[UUID], limits: Limits, platforms: Iterable[str], *, now: datetime
) -> dict[UUID, _Sender]:
    paused = PlatformState.objects.exclude(paused_at=None).values_list("platform", flat=True)
    reachable = set(platforms) - set(paused)

    def goes(account: Account) -> bool:
        awake = not quiet_hours.of_account(account, now=now)
        return awake and account.paused_at is None and account.platform in reachable

    return {
        account.pk: _Sender(account, goes(account), limits.shared_logs(account))
        for account in Account.objects.in_bulk(account_ids).values()
    }


class _Books:
    """The outcomes of a batch. What the database doesn't take is kept, to be tried again.

    Were it dropped, what the platform has taken would have to be looked up, and not every platform can say.
    """

    def __init__(self, batch: Batch, clock: Clock) -> None:
        self._batch, self._clock = batch, clock
        # Results of which nothing has been written, and accounts that have yet to be reconsidered.
        self.left: Sequence[Result] = ()
        self.put_off = outcomes.PutOff()

    @property
    def closed(self) -> bool:
        return not self.left and not self.put_off

    def record(self, results: Sequence[Result] = ()) -> None:
        """Write these and what was left, all or none; then reconsider the accounts that were put off."""
        again, self.left = bool(self.left), [*self.left, *results]
        try:
            if self.left:
                self._write(again=again)
            if self.put_off:
                self.put_off = outcomes.reconsider(self.put_off, now=self._clock.time(), at=self._batch.at)
        except (OperationalError, InterfaceError) as error:
            log.warning(
                "batch.record_failed",
                number=len(self.left),
                put_off=len(self.put_off.account_ids),
                error=f"{type(error).__name__}: {error}",
            )
        finally:
            give_back_connection()

    def _write(self, *, again: bool) -> None:
        put_off = outcomes.record(
            results=self.left,
            epoch=None if again else self._batch.epoch,
            now=self._clock.time(),
            at=self._batch.at,
        )
        self.left, self.put_off = (), self.put_off.plus(put_off)


async def _send(gateway: Gateway, request: Request, clock: Clock) -> Result:
    PRESSURE.note(time.monotonic() - request.granted_at)
    outcome = await gateway.send(request)
    return Result(request=request, outcome=outcome, ended_at=clock.time())
