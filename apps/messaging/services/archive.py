"""The archive: what has ended leaves the table that claims work on, and can still be read.

A chunk is one statement, which deletes and inserts: killed anywhere, each message is in one of the places.
MessageRecord reads both.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q

from apps.common.ids import instant_of
from apps.messaging.models import Message, MessageState, Outbox
from apps.messaging.timing import SINGLES_KEPT
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

CHUNK = 5000
# One call moves so many rows at most; the next one goes on.
CHUNKS_AT_MOST = 40
OUTBOXES_AT_ONCE = 1000
ENDED = (MessageState.SENT, MessageState.DEAD, MessageState.CANCELLED)

_WINDOWS = """
    SELECT GREATEST(max(account.limit_seconds), max(account.min_gap_ms) / 1000.0,
                    max(account.fan_gap_seconds), max(account.fan_cap_seconds),
                    (SELECT max(seconds) FROM messaging_sendlimit), %(usual)s)
    FROM messaging_account account
"""
# Closed outboxes whose messages no limit of their tenant's counts any more. A window is lengthened by the
# clocks' margin, at most 1 %.
_RIPE = f"""
WITH closed AS MATERIALIZED (
    SELECT id, tenant_id, closed_at FROM messaging_outbox
    WHERE closed_at IS NOT NULL AND archived_at IS NULL AND closed_at < %(now)s
), horizon AS (
    SELECT tenant.id, %(now)s - make_interval(secs => 1.01 * longest.seconds) AS at
    FROM (SELECT DISTINCT tenant_id AS id FROM closed) tenant
    CROSS JOIN LATERAL ({_WINDOWS} WHERE account.tenant_id = tenant.id) AS longest (seconds)
)
SELECT closed.id, horizon.at FROM closed JOIN horizon ON horizon.id = closed.tenant_id
WHERE closed.closed_at < horizon.at ORDER BY closed.closed_at LIMIT %(most)s
"""  # noqa: S608  # only the constant above is inserted

_COLUMNS = """
id, created_at, tenant_id, account_id, fan_id, outbox_id, template_id, text, user_id, price, media, priority,
not_before, state, attempt, failures, slots, sent_at, finished_at, platform_id, reason, error
"""
_MOVE = f"""
WITH ripe AS MATERIALIZED (
    SELECT id FROM messaging_message
    WHERE id = ANY(%(ids)s) AND state = ANY(%(ended)s) AND (newest_slot IS NULL OR newest_slot < %(horizon)s)
    ORDER BY id FOR UPDATE SKIP LOCKED
), moved AS (
    DELETE FROM messaging_message message USING ripe WHERE message.id = ripe.id RETURNING message.*
)
INSERT INTO messaging_messagearchive ({_COLUMNS}) SELECT {_COLUMNS} FROM moved
"""  # noqa: S608  # only the constants above are inserted


def archive_messages(*, now: datetime) -> int:
    """Archive what is ripe: closed outboxes, and single messages that ended 30 days ago. Returns how many.

    In chunks of a transaction each, at most 200,000 messages. Safe beside everything else, and itself.
    """
    close_cancelled(now=now)
    budget = _Budget(CHUNKS_AT_MOST)
    moved = sum(_archive_outbox(box, budget, now=now) for box in _ripe(now=now))
    moved += _archive_singles(budget, now=now)
    if moved:
        log.info("messages.archived", number=moved)
    return moved


def restore_dead(*, message_ids: Sequence[UUID]) -> int:
    """Bring dead messages back from the archive, to be replayed. Returns how many lay there.

    Whoever calls has seen them through the policies of a tenant, or of the system. Their outboxes will be
    archived anew.
    """
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT restore_dead_messages(%s::uuid[])", [list(message_ids)])
        (restored,) = cursor.fetchone()
    return int(restored)


def close_cancelled(*, now: datetime) -> int:
    """Close cancelled outboxes of which everything has come to its end. Returns how many."""
    with system_transaction():
        cancelled = Outbox.objects.filter(cancelled_at__isnull=False, closed_at=None)
        return cancelled.filter(queued=0, sending=0, unknown=0).update(closed_at=now)


@dataclass(slots=True)
class _Budget:
    chunks: int

    def spend(self) -> bool:
        self.chunks -= 1
        return self.chunks >= 0


@dataclass(frozen=True, slots=True)
class _Ripe:
    """A closed outbox, and the instant since when no slot of its messages may have been."""

    id: UUID
    horizon: datetime


def _ripe(*, now: datetime) -> list[_Ripe]:
    given: dict[str, Any] = {"now": now, "usual": settings.SEND_LIMIT_SECONDS, "most": OUTBOXES_AT_ONCE}
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute(_RIPE, given)
        return [_Ripe(*row) for row in cursor.fetchall()]


def _archive_outbox(box: _Ripe, budget: _Budget, *, now: datetime) -> int:
    moved, after = 0, None
    rows = Message.objects.filter(outbox_id=box.id).order_by("fan_id")
    while budget.spend():
        with system_transaction():
            rest = rows.filter(fan_id__gt=after) if after else rows
            chunk = list(rest.values_list("pk", "fan_id")[:CHUNK])
        if not chunk:
            _note_archived(box.id, now=now)
            break
        after = chunk[-1][1]
        moved += _move([message_id for message_id, _ in chunk], horizon=box.horizon)
    return moved


def _archive_singles(budget: _Budget, *, now: datetime) -> int:
    moved = 0
    ended = Q(outbox=None, state__in=ENDED, finished_at__lt=now - SINGLES_KEPT)
    while budget.spend():
        with system_transaction():
            ids = list(
                Message.objects.filter(ended).order_by("finished_at").values_list("pk", flat=True)[:CHUNK]
            )
            horizon = _horizon(now=now) if ids else now
        found = _move(ids, horizon=horizon)
        moved += found
        if found < CHUNK:
            break
    return moved


def _horizon(*, now: datetime) -> datetime:
    """Before this, no slot counts in any limit there is."""
    with connection.cursor() as cursor:
        cursor.execute(_WINDOWS, {"usual": settings.SEND_LIMIT_SECONDS})
        (seconds,) = cursor.fetchone()
    return now - timedelta(seconds=1.01 * float(seconds))


def _move(ids: list[UUID], *, horizon: datetime) -> int:
    """Archive those of these messages that have ended and that no limit counts; the number of them."""
    if not ids:
        return 0
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT ensure_message_archive(%s::date[])", [list(_months(ids))])
    with system_transaction(), connection.cursor() as cursor:
        ended = [state.value for state in ENDED]
        cursor.execute(_MOVE, {"ids": ids, "ended": ended, "horizon": horizon})
        moved: int = cursor.rowcount
    return moved


def _months(ids: Iterable[UUID]) -> set[date]:
    """The months that these were made in, by UTC."""
    return {instant_of(message_id).astimezone(UTC).date().replace(day=1) for message_id in ids}


def _note_archived(outbox_id: UUID, *, now: datetime) -> None:
    """Have it looked at no more, if nothing of it is left: another process may be moving its last rows."""
    with system_transaction():
        left = Message.objects.filter(outbox_id=OuterRef("pk"))
        Outbox.objects.filter(~Exists(left), pk=outbox_id).update(archived_at=now)
