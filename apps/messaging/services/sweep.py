"""The sweep: whatever a dead worker, a lost task or a changed mind has left behind is brought to its end."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import structlog
from django.db.models import Q

from apps.messaging.models import Account, Message, MessageState, Outbox
from apps.messaging.services import due, lookups, queue, slots, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.send import hand_back
from apps.messaging.services.tally import Tally
from apps.messaging.timing import LATEST_ARRIVAL, UNSTARTED_GRACE
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

CHUNK = 500
ACCOUNTS_AT_ONCE = 1000
# A sweep ends after so many chunks of each kind; the next one goes on.
CHUNKS_AT_MOST = 20


def sweep_messages(*, now: datetime) -> None:
    """Everything below, in chunks of a transaction each. Safe beside claims, senders and another sweep."""
    _in_chunks(return_unstarted, size=CHUNK, now=now)
    _in_chunks(doubt_abandoned, size=CHUNK, now=now)
    _in_chunks(cancel_rows, size=CHUNK, now=now)
    _in_chunks(lookups.settle_unknown, size=lookups.AT_ONCE, now=now)
    wake_forgotten(now=now)


def return_unstarted(*, now: datetime) -> int:
    """Take back what was granted but started by nobody in time, and its slots. Returns how many."""
    with system_transaction():
        rows = _lock(Q(state=MessageState.SENDING, started_at=None, send_by__lt=now - UNSTARTED_GRACE))
        hand_back(rows, now=now)
    _reconsider(rows, now=now)
    if rows:
        log.warning("messages.returned", number=len(rows))
    return len(rows)


def doubt_abandoned(*, now: datetime) -> int:
    """What was started by a worker that has not been heard of since may have arrived. Returns how many."""
    with system_transaction():
        rows = _lock(Q(state=MessageState.SENDING, started_at__isnull=False, lease_expires_at__lt=now))
        changes = Changes()
        for message in rows:
            transitions.doubt(
                message, changes, reason="worker_lost", error="the worker died while sending it"
            )
        changes.write()
    if rows:
        log.warning("messages.abandoned", number=len(rows))
    return len(rows)


def cancel_rows(*, now: datetime) -> int:
    """Mark queued messages of cancelled outboxes as what they are. Returns how many."""
    with system_transaction():
        box = Outbox.objects.filter(cancelled_at__isnull=False, queued__gt=0).order_by("pk").first()
        if box is None:
            return 0
        ids = [row.pk for row in _lock(Q(outbox=box, state=MessageState.QUEUED))]
        Message.objects.filter(pk__in=ids).update(
            state=MessageState.CANCELLED, finished_at=now, reason="outbox_cancelled"
        )
        tally = Tally()
        tally.move(box.pk, MessageState.QUEUED, MessageState.CANCELLED, len(ids))
        tally.write()
    log.info("outbox.rows_cancelled", outbox_id=str(box.pk), number=len(ids))
    return len(ids)


def wake_forgotten(*, now: datetime) -> int:
    """Bring accounts forward that have something to send, but would be looked at never or too late.

    Returns how many.
    """
    woken, after = 0, None
    while chunk := _put_off(after=after, now=now):
        after = chunk[-1].pk
        with system_transaction():
            first = queue.earliest([account.pk for account in chunk])
            forgotten = [
                account.pk
                for account in chunk
                if account.pk in first and _is_forgotten(account, first[account.pk], now=now)
            ]
            due.reconsider(forgotten, now=now)
        woken += len(forgotten)
    if woken:
        log.info("accounts.woken", number=woken)
    return woken


def _put_off(*, after: UUID | None, now: datetime) -> list[Account]:
    """The next accounts, by id, that no claim will look at soon."""
    late = Q(next_due=None) | Q(next_due__gt=now + LATEST_ARRIVAL)
    accounts = Account.objects.filter(late, paused_at=None).defer("credential").order_by("pk")
    with system_transaction():
        return list((accounts.filter(pk__gt=after) if after else accounts)[:ACCOUNTS_AT_ONCE])


def _is_forgotten(account: Account, first: datetime, *, now: datetime) -> bool:
    """Whether it is put off for longer than a slot, its block or its messages' own time could explain."""
    # No slot opens later than a window after the latest arrival of what is granted now.
    latest_slot = now + LATEST_ARRIVAL + slots.account_limit(account).window
    return account.next_due is None or account.next_due > max(
        first, latest_slot, account.blocked_until or first
    )


def _lock(which: Q) -> list[Message]:
    """Up to a chunk of messages; those in another transaction's hands are passed over."""
    rows = Message.objects.select_for_update(no_key=True, skip_locked=True).filter(which)
    return sorted(rows.order_by()[:CHUNK], key=lambda row: row.pk)


def _reconsider(rows: list[Message], *, now: datetime) -> None:
    if rows:
        with system_transaction():
            due.reconsider({row.account_id for row in rows}, now=now)


def _in_chunks(part: Callable[..., int], *, size: int, now: datetime) -> None:
    for _ in range(CHUNKS_AT_MOST):
        if part(now=now) < size:
            return
