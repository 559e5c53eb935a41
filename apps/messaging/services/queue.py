"""An account's queue: its lanes (one per outbox, one for single messages), each in the order of the index.

Within a lane and priority the order of the index is the order of sending, so an account's head is merged from
the heads of its lanes. A paused or cancelled outbox, or one whose user has no slot left, is passed over with
one probe, however long its lane is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

# The lanes with queued messages of the account `asked.id`, by a loose scan of the index. `opens` is when the
# lane's user has a slot again, if it has none.
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
    SELECT pair.outbox_id, pair.priority, blocked.until AS opens
    FROM pair JOIN messaging_outbox outbox ON outbox.id = pair.outbox_id
    LEFT JOIN unnest(%(users)s::uuid[], %(user_ends)s::timestamptz[]) AS blocked (user_id, until)
      ON blocked.user_id = outbox.user_id
    WHERE outbox.paused_at IS NULL AND outbox.cancelled_at IS NULL
"""

_COLUMNS = """
message.id, message.account_id, message.fan_id, message.outbox_id, message.template_id, message.user_id,
message.attempt, message.priority, message.not_before, message.text
"""

# Per account: the first messages of each lane that may go now, merged. They age a level per ten minutes.
_HEADS = f"""
SELECT head.id, head.account_id, head.fan_id, head.outbox_id, head.template_id, head.user_id, head.attempt,
       head.text, fan.consent, fan.time_zone
FROM unnest(%(accounts)s::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT first.*,
           GREATEST(first.priority - floor(extract(epoch FROM %(now)s - first.not_before) / 600), 0) AS level
    FROM (
        SELECT queued.* FROM ({_LANES}) lane CROSS JOIN LATERAL (
            SELECT {_COLUMNS} FROM messaging_message message
            WHERE message.account_id = asked.id AND message.state = 'queued'
              AND message.outbox_id = lane.outbox_id AND message.priority = lane.priority
              AND message.not_before <= %(now)s
            ORDER BY message.not_before, message.id LIMIT %(most)s
        ) queued
        WHERE lane.opens IS NULL OR lane.opens <= %(now)s
        UNION ALL
        SELECT queued.* FROM (VALUES (0), (1), (2)) lane (priority) CROSS JOIN LATERAL (
            SELECT {_COLUMNS} FROM messaging_message message
            WHERE message.account_id = asked.id AND message.state = 'queued'
              AND message.outbox_id IS NULL AND message.priority = lane.priority
              AND message.not_before <= %(now)s
              AND COALESCE(message.user_id <> ALL (%(users)s::uuid[]), true)
            ORDER BY message.not_before, message.id LIMIT %(most)s
        ) queued
    ) first
    ORDER BY level, first.not_before, first.id
    LIMIT %(most)s
) head
JOIN messaging_fan fan ON fan.id = head.fan_id
ORDER BY head.level, head.not_before, head.id
"""  # noqa: S608  # only the constants above are inserted

_EARLIEST = f"""
SELECT asked.id, min(first.at)
FROM unnest(%(accounts)s::uuid[]) AS asked (id)
CROSS JOIN LATERAL (
    SELECT GREATEST(queued.not_before, lane.opens) AS at FROM ({_LANES}) lane CROSS JOIN LATERAL (
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
          AND COALESCE(message.user_id <> ALL (%(users)s::uuid[]), true)
        ORDER BY message.not_before LIMIT 1
    ) queued
    UNION ALL
    SELECT blocked.until
    FROM unnest(%(users)s::uuid[], %(user_ends)s::timestamptz[]) AS blocked (user_id, until)
    WHERE EXISTS (
        SELECT FROM messaging_message message
        WHERE message.account_id = asked.id AND message.state = 'queued'
          AND message.outbox_id IS NULL AND message.user_id = blocked.user_id
    )
) first
GROUP BY asked.id
"""  # noqa: S608  # only the constant above is inserted


@dataclass(frozen=True, slots=True)
class Head:
    """A queued message that may go now, with what deciding about it needs."""

    id: UUID
    account_id: UUID
    fan_id: UUID
    outbox_id: UUID | None
    template_id: UUID | None
    user_id: UUID | None
    attempt: int
    text: str | None
    consent: bool
    time_zone: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """The users that have no slot left, and until when: their lanes wait."""

    users: Mapping[UUID, datetime] = field(default_factory=dict)

    @property
    def parameters(self) -> dict[str, list[Any]]:
        return {"users": list(self.users), "user_ends": list(self.users.values())}


NOBODY = Blocked()


def heads(
    account_ids: Sequence[UUID], *, most: int, now: datetime, blocked: Blocked = NOBODY
) -> dict[UUID, list[Head]]:
    """Up to `most` messages per account that may go now, soonest first. They aren't locked."""
    found: dict[UUID, list[Head]] = {account_id: [] for account_id in account_ids}
    if account_ids:
        with connection.cursor() as cursor:
            given: dict[str, Any] = {
                "accounts": list(account_ids),
                "most": most,
                "now": now,
                **blocked.parameters,
            }
            cursor.execute(_HEADS, given)
            for row in cursor.fetchall():
                found[row[1]].append(Head(*row))
    return found


def earliest(account_ids: Iterable[UUID], *, blocked: Blocked = NOBODY) -> dict[UUID, datetime]:
    """When the first message of the unpaused lanes of each account may go; only accounts that have any."""
    asked = list(account_ids)
    if not asked:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_EARLIEST, {"accounts": asked, **blocked.parameters})
        return dict(cursor.fetchall())
