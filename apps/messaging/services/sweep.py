"""The sweep: whatever a dead worker, a lost task or a changed mind has left behind is brought to its end."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Q

from apps.messaging.models import Message, MessageState, Outbox
from apps.messaging.services import blocks, due, heartbeat, lookups, outcomes, queue, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.limits import read_limits
from apps.messaging.services.tally import Tally
from apps.messaging.timing import LATEST_ARRIVAL, UNSTARTED_GRACE
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

CHUNK = 500
ACCOUNTS_AT_ONCE = 1000
CANCELLED_AT_ONCE = 5000
_BEFORE_ALL = UUID(int=0)
_CANCEL = """
WITH chunk AS MATERIALIZED (
    SELECT id FROM messaging_message
    WHERE outbox_id = %(box)s AND fan_id > %(after)s AND state = 'queued'
    ORDER BY fan_id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE messaging_message AS message
SET state = 'cancelled', finished_at = %(now)s, reason = 'outbox_cancelled'
FROM chunk WHERE message.id = chunk.id
RETURNING message.fan_id
"""
# No slot opens later than a window (lengthened by the clocks' margin) after the latest arrival of what is
# granted now: whatever is put off for longer has another reason, or has been forgotten.
_PUT_OFF = """
SELECT account.id, account.next_due, slot.latest
FROM messaging_account account
CROSS JOIN LATERAL (
    SELECT GREATEST(COALESCE(account.limit_seconds, %(usual)s), account.min_gap_ms / 1000.0) AS seconds
) longest
CROSS JOIN LATERAL (
    SELECT GREATEST(%(soon)s + make_interval(secs => 1.01 * longest.seconds), account.blocked_until) AS latest
) slot
WHERE account.id > %(after)s AND account.paused_at IS NULL
  AND (account.next_due IS NULL OR account.next_due > slot.latest)
  AND EXISTS (
      SELECT FROM messaging_message message
      WHERE message.account_id = account.id AND message.state = 'queued'
  )
ORDER BY account.id LIMIT %(most)s
"""

# A sweep ends after so many chunks of each kind; the next one goes on.
CHUNKS_AT_MOST = 20


def recover_messages(*, now: datetime) -> None:
    """What can't wait: messages that a lost task or a dead worker has left on their way."""
    _in_chunks(return_unstarted, size=CHUNK, now=now)
    _in_chunks(doubt_abandoned, size=CHUNK, now=now)
    lookups.settle_unknown(now=now)


def sweep_messages(*, now: datetime) -> None:
    """Everything else, in chunks of a transaction each. Safe beside claims, senders and another sweep."""
    cancel_rows(now=now)
    wake_forgotten(now=now)
    with system_transaction():
        blocks.forget_ended(now=now)
        heartbeat.forget_dead(now=now)


def return_unstarted(*, now: datetime, at: int | None = None) -> int:
    """Take back what was granted but started by nobody in time, and its slots. Returns how many."""
    with system_transaction():
        late = Message.objects.filter(
            state=MessageState.SENDING, started_at=None, send_by__lt=now - UNSTARTED_GRACE
        )
        ids = list(late.order_by("lease_expires_at").values_list("pk", flat=True)[:CHUNK])
    returned = outcomes.hand_back(message_ids=ids, now=now, at=at, waits=False) if ids else 0
    if returned:
        log.warning("messages.returned", number=returned)
    return returned


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
        boxes = Outbox.objects.filter(cancelled_at__isnull=False, closed_at=None, queued__gt=0)
        box_ids = list(boxes.order_by("pk").values_list("pk", flat=True)[:CHUNKS_AT_MOST])
    cancelled, after = 0, _BEFORE_ALL
    for _ in range(CHUNKS_AT_MOST):
        if not box_ids:
            break
        number, last = _cancel_chunk(box_ids[0], after=after, now=now)
        cancelled += number
        # The next chunk of it, by fan; or the next outbox.
        after = last or _BEFORE_ALL
        if last is None:
            box_ids.pop(0)
    if cancelled:
        log.info("messages.cancelled", number=cancelled)
    return cancelled


def _cancel_chunk(box_id: UUID, *, after: UUID, now: datetime) -> tuple[int, UUID | None]:
    """How many were marked, and the last fan of them; None when there is none left."""
    with system_transaction():
        with connection.cursor() as cursor:
            cursor.execute(_CANCEL, {"box": box_id, "after": after, "most": CANCELLED_AT_ONCE, "now": now})
            fans = [fan_id for (fan_id,) in cursor.fetchall()]
        tally = Tally()
        tally.move(box_id, MessageState.QUEUED, MessageState.CANCELLED, len(fans))
        tally.write()
    return len(fans), max(fans, default=None)


def wake_forgotten(*, now: datetime) -> int:
    """Bring accounts forward that have something to send, but would be looked at never or too late.

    Returns how many. It is what resumes an outbox, a tenant or a platform: these change a row of their own.
    """
    woken, after = 0, _BEFORE_ALL
    while chunk := _put_off(after=after, now=now):
        after = chunk[-1].id
        with system_transaction():
            users = blocks.read(now=now).users
            first = queue.earliest([each.id for each in chunk], blocked=users)
            ats = {each.id: first[each.id] for each in chunk if each.is_forgotten(first.get(each.id))}
            due.bring_forward_each({account_id: max(now, at) for account_id, at in ats.items()})
        woken += len(ats)
    if woken:
        log.info("accounts.woken", number=woken)
    return woken


class _PutOff(NamedTuple):
    """An account that no claim will look at soon."""

    id: UUID
    next_due: datetime | None
    explained: datetime

    def is_forgotten(self, first: datetime | None) -> bool:
        """Whether it is put off for longer than a slot, its block or its messages' own time could explain."""
        return first is not None and (self.next_due is None or self.next_due > max(first, self.explained))


def _put_off(*, after: UUID, now: datetime) -> list[_PutOff]:
    """The next accounts with something queued, by id, that are looked at never or unexplainably late."""
    with system_transaction(), connection.cursor() as cursor:
        longest = read_limits([]).longest_of_accounts()
        cursor.execute(
            _PUT_OFF,
            {"after": after, "soon": now + LATEST_ARRIVAL, "usual": longest, "most": ACCOUNTS_AT_ONCE},
        )
        return [_PutOff(*row) for row in cursor.fetchall()]


def _lock(which: Q) -> list[Message]:
    """Up to a chunk of messages; those in another transaction's hands are passed over."""
    rows = Message.objects.select_for_update(no_key=True, skip_locked=True).filter(which)
    return sorted(rows.order_by()[:CHUNK], key=lambda row: row.pk)


def _in_chunks(part: Callable[..., int], *, size: int, now: datetime) -> None:
    for _ in range(CHUNKS_AT_MOST):
        if part(now=now) < size:
            return
