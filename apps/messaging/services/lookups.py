"""Unknown messages: asking the platform what became of them."""

import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from apps.common.connections import give_back_connection
from apps.messaging.backoff import full_jitter
from apps.messaging.gateways import client
from apps.messaging.gateways.base import AskAgain, Found, Gateway, LookUp, NoLookUp, NotFound, Settled
from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.models import Message, MessageState
from apps.messaging.services import due, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.send import Clock
from apps.messaging.timing import (
    LOOK_UP_ABSENT_EVERY,
    LOOK_UP_AFTER,
    LOOK_UP_AT_MOST_EVERY,
    LOOK_UP_LEASE,
    MAX_FAILURES,
    UNKNOWN_AT_MOST,
)
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

AT_ONCE = 200
# The reasons of attempts that are the message's or the platform's fault. A worker that died is neither's.
COUNTED = frozenset({"server_error", "malformed", "timed_out", "cut"})


_asking = threading.Lock()


def settle_unknown(*, now: datetime) -> int:
    """Look up the unknown messages that are due, at most 200. Returns how many that were.

    A process asks for one such round at a time: a platform that hangs shall not hold all of its threads.
    """
    if not _asking.acquire(blocking=False):
        return 0
    try:
        return _settle(Clock.at(now))
    finally:
        _asking.release()


def _settle(clock: Clock) -> int:
    gateways = connected_platforms()
    look_ups = take(now=clock.now, platforms=gateways)
    give_back_connection()
    for findings in client.stream(_ask(gateways, look_ups)):
        record(findings=findings, now=clock.time())
        give_back_connection()
    return len(look_ups)


def take(*, now: datetime, platforms: Mapping[str, Gateway]) -> list[LookUp]:
    """Put a lease on what is due, so that two sweeps don't ask the same; a lost one expires after 30 s."""
    with system_transaction():
        rows = list(
            Message.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
            .select_related("account")
            .filter(state=MessageState.UNKNOWN, look_up_at__lte=now, account__platform__in=list(platforms))
            .order_by("look_up_at")[:AT_ONCE]
        )
        Message.objects.filter(pk__in=[row.pk for row in rows]).update(look_up_at=now + LOOK_UP_LEASE)
    return [
        LookUp(
            message_id=row.pk,
            attempt=row.attempt,
            account_id=row.account_id,
            platform=row.account.platform,
            account=row.account.external_id,
            credential=row.account.credential,
        )
        for row in rows
    ]


def record(*, findings: Sequence[Settled], now: datetime) -> None:
    """Write what was found, where the message is still the one that was asked about."""
    by_id = {settled.look_up.message_id: settled for settled in findings}
    with system_transaction():
        rows = Message.objects.select_for_update(no_key=True).filter(pk__in=by_id, state=MessageState.UNKNOWN)
        messages = list(rows.order_by("pk"))
        changes = Changes()
        for message in messages:
            if message.attempt == by_id[message.pk].look_up.attempt:
                _apply(by_id[message.pk], message, changes, now=now)
        changes.write()
    back = [message for message in messages if message.state == MessageState.QUEUED]
    with system_transaction():
        due.bring_forward_each(due.firsts(back))


def _ask(
    gateways: Mapping[str, Gateway], look_ups: Sequence[LookUp]
) -> Iterator[Coroutine[Any, Any, Settled]]:
    async def ask(look_up: LookUp) -> Settled:
        return Settled(look_up=look_up, finding=await gateways[look_up.platform].look_up(look_up))

    return (ask(look_up) for look_up in look_ups)


def _apply(settled: Settled, message: Message, changes: Changes, *, now: datetime) -> None:
    since = message.started_at or message.slots[-1]
    match settled.finding:
        case Found(platform_id=platform_id):
            transitions.confirm(message, changes, platform_id=platform_id, now=now)
        case NotFound():
            _try_again(message, changes, now=now)
        case NoLookUp() if now >= since + UNKNOWN_AT_MOST:
            transitions.bury(message, changes, reason="outcome_unknown", error=message.error, now=now)
        case NoLookUp():
            message.look_up_at = min(now + LOOK_UP_ABSENT_EVERY, since + UNKNOWN_AT_MOST)
            changes.touch(message)
        case AskAgain(error=error):
            wait = max(LOOK_UP_AFTER, min((now - since) / 10, LOOK_UP_AT_MOST_EVERY))
            message.look_up_at = now + wait
            changes.touch(message)
            log.warning("message.look_up_failed", message_id=str(message.pk), error=error)


def _try_again(message: Message, changes: Changes, *, now: datetime) -> None:
    """It never arrived: back to the queue, unless it has failed too often."""
    # A probe was our idea, not the message's fault.
    message.failures += message.reason in COUNTED and not message.is_probe
    if message.failures >= MAX_FAILURES:
        transitions.bury(message, changes, reason="attempts_exhausted", error=message.error, now=now)
    else:
        later = now + full_jitter(message.failures)
        transitions.requeue(message, changes, not_before=later, reason=message.reason, error=message.error)
