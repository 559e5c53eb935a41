"""Sending a batch: start it, wait without a transaction or a connection to the database, record outcomes."""

import json
import time
from collections.abc import Iterable, Sequence
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
from apps.messaging.models import Account, Message, PlatformState
from apps.messaging.services import epoch, outcomes, quiet_hours
from apps.messaging.services.limits import Limits, read_limits
from apps.messaging.services.pressure import PRESSURE
from apps.messaging.timing import CONTROL_AGE, SEND_WITHIN
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# When to try again to write outcomes that the database didn't take. Then the sweep finds the messages.
RECORD_AGAIN = [timedelta(seconds=seconds) for seconds in (0.5, 2, 5, 10, 10)]

_LOCK_UNSTARTED = """
SELECT message.id, message.attempt, message.send_by, message.text, message.price, message.media,
       message.is_probe, message.tenant_id, COALESCE(message.user_id, outbox.user_id), message.account_id,
       message.fan_id, fan.external_id, fan.time_zone,
       message.epoch = %(epoch)s AND fan.consent AND tenant.paused_at IS NULL
           AND outbox.paused_at IS NULL AND outbox.cancelled_at IS NULL
FROM messaging_message message
JOIN messaging_fan fan ON fan.id = message.fan_id
JOIN tenants_tenant tenant ON tenant.id = message.tenant_id
LEFT JOIN messaging_outbox outbox ON outbox.id = message.outbox_id
WHERE message.id = ANY(%(ids)s) AND message.state = 'sending' AND message.started_at IS NULL
  AND message.send_by > %(now)s
ORDER BY message.id FOR NO KEY UPDATE OF message
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
    """What was started. Its outcomes are judged by the limits that it was started under."""

    requests: Sequence[Request]
    # The time of the limiter: None is Redis's own clock.
    at: int | None


def send_batch(*, message_ids: Sequence[UUID], now: datetime, at: int | None = None) -> None:
    """Send the granted messages that nobody has started: a second delivery of the task sends nothing."""
    clock = Clock.at(now)
    gateways = connected_platforms()
    batch = start(message_ids=message_ids, clock=clock, platforms=gateways, at=at)
    give_back_connection()
    calls = (_send(gateways[request.platform], request, clock) for request in batch.requests)
    left: Sequence[Result] = ()
    for results in client.stream(calls):
        left = _record(batch, [*left, *results], clock)
    for wait in RECORD_AGAIN:
        if not left:
            return
        time.sleep(wait.total_seconds())
        left = _record(batch, left, clock)
    if left:
        log.error("batch.not_recorded", number=len(left))


def start(
    *, message_ids: Sequence[UUID], clock: Clock, platforms: Iterable[str], at: int | None = None
) -> Batch:
    """Mark as started what may still be sent, and say how; hand back what was stopped meanwhile.

    In the order of the ids given, which is that of the claim: tenants in turn.
    """
    now = clock.now
    control_expires_at = clock.time() + CONTROL_AGE
    with system_transaction():
        locked = {row.id: row for row in _lock_unstarted(message_ids, epoch=epoch.current().number, now=now)}
        rows = [locked[message_id] for message_id in message_ids if message_id in locked]
        accounts = Account.objects.in_bulk({row.account_id for row in rows})
        paused = PlatformState.objects.exclude(paused_at=None).values_list("platform", flat=True)
        reachable = set(platforms) - set(paused)
        limits = read_limits({subject for row in rows for subject in (row.tenant_id, row.user_id)})
        sendable: list[_Row] = []
        barred: list[UUID] = []
        for row in rows:
            account = accounts[row.account_id]
            goes = row.goes and account.platform in reachable and not _sleeps(account, row, now=now)
            if goes and account.paused_at is None:
                sendable.append(row)
            else:
                barred.append(row.id)
        Message.objects.filter(pk__in=[row.id for row in sendable]).update(started_at=now)
    requests = [
        _request(row, accounts[row.account_id], limits, clock, control_expires_at=control_expires_at)
        for row in sendable
    ]
    batch = Batch(requests=requests, at=at)
    if barred:
        outcomes.hand_back(message_ids=barred, now=clock.time(), at=at)
    return batch


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
    account_id: UUID
    fan_id: UUID
    recipient: str
    time_zone: str
    goes: bool


def _lock_unstarted(message_ids: Sequence[UUID], *, epoch: int, now: datetime) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK_UNSTARTED, {"ids": list(message_ids), "epoch": epoch, "now": now})
        return [_Row(*row) for row in cursor.fetchall()]


def _sleeps(account: Account, row: _Row, *, now: datetime) -> bool:
    by_fan = quiet_hours.of_fan(account, zone=row.time_zone, now=now)
    return bool(by_fan or quiet_hours.of_account(account, now=now))


def _request(
    row: _Row, account: Account, limits: Limits, clock: Clock, *, control_expires_at: datetime
) -> Request:
    of_account, *others = limits.logs(account, user_id=row.user_id, fan_id=row.fan_id)
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
        logs=tuple(others),
    )


def _record(batch: Batch, results: Sequence[Result], clock: Clock) -> Sequence[Result]:
    """Write the outcomes. Returns those that the database didn't take, to be tried again: all or none.

    Were they dropped, what the platform has taken would have to be looked up, and not every platform can say.
    """
    try:
        outcomes.record(results=results, now=clock.time(), at=batch.at)
    except (OperationalError, InterfaceError) as error:
        log.warning("batch.record_failed", number=len(results), error=f"{type(error).__name__}: {error}")
        return results
    finally:
        give_back_connection()
    return ()


async def _send(gateway: Gateway, request: Request, clock: Clock) -> Result:
    PRESSURE.note(time.monotonic() - request.granted_at)
    outcome = await gateway.send(request)
    return Result(request=request, outcome=outcome, ended_at=clock.time())
