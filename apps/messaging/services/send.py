"""Sending a batch: start it, wait without a transaction or a connection to the database, record outcomes."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection

from apps.messaging.gateways import client
from apps.messaging.gateways.base import Gateway, Request, Result
from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.models import Message, MessageState
from apps.messaging.quiet import quiet_until
from apps.messaging.services import due, outcomes, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.timing import CONTROL_AGE
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# When to try again to write outcomes that the database didn't take. Then the sweep finds the messages.
RECORD_AGAIN = [timedelta(seconds=seconds) for seconds in (0.5, 2, 5, 10, 10)]


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


def send_batch(*, message_ids: Sequence[UUID], now: datetime) -> None:
    """Send the granted messages that nobody has started: a second delivery of the task sends nothing."""
    clock = Clock.at(now)
    gateways = connected_platforms()
    requests = start(message_ids=message_ids, clock=clock, platforms=gateways)
    give_connection_back()
    calls = (_send(gateways[request.platform], request, clock) for request in requests)
    left: Sequence[Result] = ()
    for results in client.stream(calls):
        left = _record([*left, *results], clock)
    for wait in RECORD_AGAIN:
        if not left:
            return
        time.sleep(wait.total_seconds())
        left = _record(left, clock)
    if left:
        log.error("batch.not_recorded", number=len(left))


def start(*, message_ids: Sequence[UUID], clock: Clock, platforms: Iterable[str]) -> list[Request]:
    """Mark as started what may still be sent, and say how; hand back what was stopped meanwhile."""
    platforms, now = set(platforms), clock.now
    with system_transaction():
        ids = _lock_unstarted(message_ids, now=now)
        # Read after the locks: pauses, consent and quiet hours as they are now.
        control_expires_at = clock.time() + CONTROL_AGE
        rows = list(
            Message.objects.filter(pk__in=ids).select_related("account", "fan", "outbox").order_by("pk")
        )
        paused = set(Tenant.objects.exclude(paused_at=None).values_list("pk", flat=True))
        sendable: list[Message] = []
        barred: list[Message] = []
        for row in rows:
            goes = row.tenant_id not in paused and row.account.platform in platforms and _may_go(row, now=now)
            (sendable if goes else barred).append(row)
        Message.objects.filter(pk__in=[row.pk for row in sendable]).update(started_at=now)
        hand_back(barred, now=now)
    if barred:
        with system_transaction():
            due.reconsider({row.account_id for row in barred}, now=now)
    return [_request(row, clock, control_expires_at=control_expires_at) for row in sendable]


def hand_back(messages: Iterable[Message], *, now: datetime) -> None:
    """Return locked messages to the queue, and their slots with them."""
    changes = Changes()
    for message in messages:
        transitions.give_back(message, changes, not_before=message.not_before)
    changes.write()


def give_connection_back() -> None:
    """Hold no connection while waiting on the network. Never inside a transaction."""
    if connection.in_atomic_block:
        raise RuntimeError("a batch must not be sent inside a transaction")
    connection.close()


def _lock_unstarted(message_ids: Sequence[UUID], *, now: datetime) -> list[UUID]:
    unstarted = Message.objects.filter(
        pk__in=message_ids, state=MessageState.SENDING, started_at=None, send_by__gt=now
    )
    return list(unstarted.select_for_update(no_key=True).order_by("pk").values_list("pk", flat=True))


def _may_go(message: Message, *, now: datetime) -> bool:
    account, box = message.account, message.outbox
    if account.paused_at or not message.fan.consent or (box and (box.paused_at or box.cancelled_at)):
        return False
    return not quiet_until(now, start=account.quiet_start, end=account.quiet_end, zone=account.time_zone)


def _request(message: Message, clock: Clock, *, control_expires_at: datetime) -> Request:
    assert message.send_by is not None  # a constraint, for text as well
    assert message.text is not None
    return Request(
        message_id=message.pk,
        attempt=message.attempt,
        account_id=message.account_id,
        platform=message.account.platform,
        account=message.account.external_id,
        credential=message.account.credential,
        recipient=message.fan.external_id,
        text=message.text,
        price=message.price,
        media=message.media,
        write_by=clock.deadline(min(message.send_by, control_expires_at)),
    )


def _record(results: Sequence[Result], clock: Clock) -> Sequence[Result]:
    """Write the outcomes. Returns those that the database didn't take, to be tried again: all or none.

    Were they dropped, what the platform has taken would have to be looked up, and not every platform can say.
    """
    try:
        outcomes.record(results=results, now=clock.time())
    except (OperationalError, InterfaceError) as error:
        log.warning("batch.record_failed", number=len(results), error=f"{type(error).__name__}: {error}")
        return results
    finally:
        give_connection_back()
    return ()


async def _send(gateway: Gateway, request: Request, clock: Clock) -> Result:
    outcome = await gateway.send(request)
    return Result(request=request, outcome=outcome, ended_at=clock.time())
