"""What a claim writes of the messages that it looked at. Each returns nothing but adds to the tally."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from apps.messaging.models import MessageState
from apps.messaging.services.tally import Tally
from apps.messaging.timing import LATEST_ARRIVAL, LEASE, SEND_WITHIN

# A platform that throttles for days grants a message many slots; only the young ones count.
_SLOTS_KEPT = 500

_GRANT = f"""
UPDATE messaging_message AS message
SET state = 'sending', attempt = message.attempt + 1, epoch = %(epoch)s, is_probe = granted.is_probe,
    slots = message.slots[greatest(1, cardinality(message.slots) - {_SLOTS_KEPT}):] || %(stamp)s::timestamptz,
    send_by = %(send_by)s, lease_expires_at = %(lease)s, started_at = NULL,
    text = COALESCE(message.text, granted.text), reason = '', error = ''
FROM unnest(%(ids)s::uuid[], %(texts)s::text[], %(probes)s::bool[]) AS granted (id, text, is_probe)
WHERE message.id = granted.id AND message.state = 'queued'
RETURNING message.id, message.outbox_id
"""  # noqa: S608  # only the constant above is inserted

_END = """
UPDATE messaging_message AS message
SET state = %(state)s, finished_at = %(now)s, reason = ended.reason, error = ended.error
FROM unnest(%(ids)s::uuid[], %(reasons)s::text[], %(errors)s::text[]) AS ended (id, reason, error)
WHERE message.id = ended.id AND message.state = 'queued'
RETURNING message.id, message.outbox_id
"""

_POSTPONE = """
UPDATE messaging_message AS message SET not_before = later.at
FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS later (id, at)
WHERE message.id = later.id AND message.state = 'queued'
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """A message that got its slots. `text` is None where it has been rendered before."""

    message_id: UUID
    text: str | None
    is_probe: bool


@dataclass(frozen=True, slots=True)
class End:
    """Why a queued message comes to its end."""

    message_id: UUID
    reason: str
    error: str = ""


def grant(grants: Sequence[Grant], tally: Tally, *, epoch: int, now: datetime) -> list[UUID]:
    """Put the messages on their way, with a lease. Returns, in order, those that nobody has ended."""
    rows = sorted(grants, key=lambda each: each.message_id)
    parameters = {
        "ids": [each.message_id for each in rows],
        "texts": [each.text for each in rows],
        "probes": [each.is_probe for each in rows],
        "epoch": epoch,
        "stamp": now + LATEST_ARRIVAL,
        "send_by": now + SEND_WITHIN,
        "lease": now + LEASE,
    }
    granted = set(_move(_GRANT, parameters, tally, MessageState.SENDING)) if rows else set()
    return [each.message_id for each in grants if each.message_id in granted]


def end(ends: Sequence[End], state: MessageState, tally: Tally, *, now: datetime) -> None:
    """Queued messages become dead or cancelled."""
    rows = sorted(ends, key=lambda each: each.message_id)
    parameters = {
        "ids": [each.message_id for each in rows],
        "reasons": [each.reason for each in rows],
        "errors": [each.error for each in rows],
        "state": state.value,
        "now": now,
    }
    if rows:
        _move(_END, parameters, tally, state)


def postpone(until: Mapping[UUID, datetime]) -> None:
    """Queued messages wait until then."""
    if until:
        ids = sorted(until)
        with connection.cursor() as cursor:
            cursor.execute(_POSTPONE, {"ids": ids, "ats": [until[each] for each in ids]})


def _move(statement: str, parameters: Mapping[str, Any], tally: Tally, state: MessageState) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        moved = cursor.fetchall()
    for _, outbox_id in moved:
        tally.move(outbox_id, MessageState.QUEUED, state)
    return [message_id for message_id, _ in moved]
