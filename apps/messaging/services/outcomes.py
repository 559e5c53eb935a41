"""What becomes of messages when their attempts have ended: the table of outcomes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError

from apps.messaging.backoff import full_jitter
from apps.messaging.gateways.base import (
    Dead,
    HandedBack,
    NotConnected,
    Result,
    Sent,
    Throttled,
    Unauthorised,
    Unknown,
)
from apps.messaging.models import Message, MessageState
from apps.messaging.services import accounts, due, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.timing import THROTTLE_AT_LEAST, THROTTLE_AT_MOST
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

_OPEN = frozenset({MessageState.SENDING, MessageState.UNKNOWN})


def record(*, results: Sequence[Result], now: datetime) -> None:
    """Write the outcomes, then bring their accounts forward to the slots that this has freed.

    Two transactions, each in the lock order; if the second is lost, the sweep does its work.
    """
    with system_transaction():
        _restrict_accounts(results, now=now)
        rows = _lock([result.request.message_id for result in results])
        changes = Changes()
        for result in results:
            message = rows.get(result.request.message_id)
            if message is not None and _counts(result, message):
                _apply(result, message, changes, now=now)
        changes.write()
    try:
        with system_transaction():
            due.reconsider({result.request.account_id for result in results}, now=now)
    except (OperationalError, InterfaceError) as error:
        log.warning("accounts.not_reconsidered", error=f"{type(error).__name__}: {error}")
    for result in results:
        log.info(
            "message.attempted",
            message_id=str(result.request.message_id),
            account_id=str(result.request.account_id),
            attempt=result.request.attempt,
            outcome=type(result.outcome).__name__,
        )


def _restrict_accounts(results: Sequence[Result], *, now: datetime) -> None:
    """Pause whom the platform no longer knows, block whom it slows down; before any message is locked."""
    unauthorised: set[UUID] = set()
    blocked: dict[UUID, datetime] = {}
    for result in results:
        account_id = result.request.account_id
        if isinstance(result.outcome, Unauthorised):
            unauthorised.add(account_id)
        elif isinstance(result.outcome, Throttled):
            until = result.ended_at + _clamp(result.outcome.retry_after)
            blocked[account_id] = max(until, blocked.get(account_id, until))
    for account_id in sorted(unauthorised | set(blocked)):
        if account_id in unauthorised:
            accounts.pause_unauthorised(account_id=account_id, now=now)
        if account_id in blocked:
            accounts.block(account_id=account_id, until=blocked[account_id])


def _clamp(wait: timedelta) -> timedelta:
    return max(THROTTLE_AT_LEAST, min(wait, THROTTLE_AT_MOST))


def _lock(message_ids: Sequence[UUID]) -> dict[UUID, Message]:
    rows = Message.objects.select_for_update(no_key=True).filter(pk__in=message_ids).order_by("pk")
    return {row.pk: row for row in rows}


def _counts(result: Result, message: Message) -> bool:
    """An outcome counts for its own attempt, while that is open; “sent” also when it was given up."""
    if result.request.attempt != message.attempt:
        return False
    return message.state in _OPEN or (
        isinstance(result.outcome, Sent) and message.state == MessageState.QUEUED
    )


def _apply(result: Result, message: Message, changes: Changes, *, now: datetime) -> None:
    outcome, ended_at = result.outcome, result.ended_at
    if not isinstance(outcome, Unknown) or outcome.over:
        transitions.correct_slot(message, ended_at=ended_at)
    match outcome:
        case Sent(platform_id=platform_id):
            transitions.confirm(message, changes, platform_id=platform_id, now=ended_at)
        case Dead(reason=reason, error=error):
            transitions.bury(message, changes, reason=reason, error=error, now=ended_at)
        case Unauthorised(error=error):
            transitions.requeue(message, changes, not_before=now, reason="unauthorised", error=error)
        case Throttled():
            transitions.requeue(message, changes, not_before=now, reason="throttled")
        case NotConnected(error=error):
            later = now + full_jitter(message.attempt)
            transitions.give_back(message, changes, not_before=later, reason="not_connected", error=error)
        case HandedBack():
            transitions.give_back(message, changes, not_before=message.not_before)
        case Unknown(reason=reason, error=error):
            transitions.doubt(message, changes, reason=reason, error=error)
