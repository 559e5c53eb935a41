"""An account's queue: its lanes (one per outbox, one for single messages), each in the order of the index.

Within a lane and priority the order of the index is the order of sending, so an account's head is merged from
the heads of its lanes. A paused or cancelled outbox is passed over with one probe, however long its lane is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection

# The pairs (outbox, priority) with queued messages of the account `asked.id`, by a loose scan of the index.
_LANES = """
    WITH RECURSIVE pair AS (
        (SELECT message.outbox_id, message.priority FROM messaging_message message
         WHERE message.account_id = asked.id AND message.state = 'queued' AND message.outbox_id IS NOT NULL
         ORDER BY message.outbox_id, message.priority LIMIT 1)
        UNION ALL
        SELECT following.outbox_id, following.priority FROM pair CROSS JOIN LATERAL (
            SELECT message.outbox_id, message.priority FROM messaging_message message
            WHERE message.account_id = asked.id AND message.state = 'queued'
              AND (message.outbox_id, message.priority) > (pair.outbox_id, pair.priority)
            ORDER BY message.outbox_id, message.priority LIMIT 1
        ) following
    )
    SELECT pair.outbox_id, pair.priority FROM pair JOIN messaging_outbox outbox ON outbox.id = pair.outbox_id
    WHERE outbox.paused_at IS NULL AND outbox.cancelled_at IS NULL
"""

# Per account: the first messages of each lane that may go now, merged. They age a level per ten minutes.
_HEADS = f"""
SELECT head.id, head.account_id
FROM unnest(%(accounts)s::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT first.* FROM (
        SELECT queued.* FROM ({_LANES}) lane CROSS JOIN LATERAL (
            SELECT message.id, message.account_id, message.priority, message.not_before
            FROM messaging_message message
            WHERE message.account_id = asked.id AND message.state = 'queued'
              AND message.outbox_id = lane.outbox_id AND message.priority = lane.priority
              AND message.not_before <= %(now)s
            ORDER BY message.not_before, message.id LIMIT %(most)s
        ) queued
        UNION ALL
        SELECT queued.* FROM (VALUES (0), (1), (2)) lane (priority) CROSS JOIN LATERAL (
            SELECT message.id, message.account_id, message.priority, message.not_before
            FROM messaging_message message
            WHERE message.account_id = asked.id AND message.state = 'queued'
              AND message.outbox_id IS NULL AND message.priority = lane.priority
              AND message.not_before <= %(now)s
            ORDER BY message.not_before, message.id LIMIT %(most)s
        ) queued
    ) first
    ORDER BY
        GREATEST(first.priority - floor(extract(epoch FROM %(now)s - first.not_before) / 600), 0),
        first.not_before, first.id
    LIMIT %(most)s
) head
"""  # noqa: S608  # only the constant above is inserted

_EARLIEST = f"""
SELECT asked.id, min(first.not_before)
FROM unnest(%(accounts)s::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT queued.not_before FROM ({_LANES}) lane CROSS JOIN LATERAL (
        SELECT message.not_before FROM messaging_message message
        WHERE message.account_id = asked.id AND message.state = 'queued'
          AND message.outbox_id = lane.outbox_id AND message.priority = lane.priority
        ORDER BY message.not_before LIMIT 1
    ) queued
    UNION ALL
    SELECT queued.not_before FROM (VALUES (0), (1), (2)) lane (priority) CROSS JOIN LATERAL (
        SELECT message.not_before FROM messaging_message message
        WHERE message.account_id = asked.id AND message.state = 'queued'
          AND message.outbox_id IS NULL AND message.priority = lane.priority
        ORDER BY message.not_before LIMIT 1
    ) queued
) first
GROUP BY asked.id
"""  # noqa: S608  # only the constant above is inserted


def heads(account_ids: Sequence[UUID], *, most: int, now: datetime) -> dict[UUID, list[UUID]]:
    """Up to `most` messages per account that may go now, soonest first. They aren't locked."""
    found: dict[UUID, list[UUID]] = {account_id: [] for account_id in account_ids}
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, {"accounts": list(account_ids), "most": most, "now": now})
        for message_id, account_id in cursor.fetchall():
            found[account_id].append(message_id)
    return found


def earliest(account_ids: Iterable[UUID]) -> dict[UUID, datetime]:
    """The earliest `not_before` in the unpaused lanes of each account that has any."""
    with connection.cursor() as cursor:
        cursor.execute(_EARLIEST, {"accounts": list(account_ids)})
        return dict(cursor.fetchall())
