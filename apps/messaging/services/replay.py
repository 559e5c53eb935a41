"""Replaying many messages: a bounded number at a time, and how many are left."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.messaging.models import MessageRecord, MessageState
from apps.messaging.services import archive, messages

Matching = QuerySet[MessageRecord]

# One transaction holds the locks of so many messages and their accounts.
AT_ONCE = 1000
# What is left is counted no further than this.
COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many are queued again, how many weren't and why, and how many of the chosen ones are left."""

    replayed: int
    refused: dict[str, int]
    remaining: int = 0


def replay_ids(*, message_ids: Sequence[UUID], state: str = MessageState.DEAD, now: datetime) -> Replayed:
    """Replay the dead (or unknown) ones of up to 1,000 messages; why the others aren't, by number."""
    ids = list(dict.fromkeys(message_ids))[:AT_ONCE]
    rows = dict(MessageRecord.objects.filter(pk__in=ids).values_list("pk", "state"))
    chosen = [each for each in rows if rows[each] == state]
    cancelled = MessageRecord.objects.filter(pk__in=chosen, outbox__cancelled_at__isnull=False)
    refused = Counter(outbox_cancelled=cancelled.count(), not_found=len(ids) - len(rows))
    # Unknown ones aren't archived.
    number = (
        messages.send_again(message_ids=chosen, now=now)
        if state == MessageState.UNKNOWN
        else _replay(chosen, now=now)
    )
    refused["other_state"] = len(ids) - number - refused.total()
    return Replayed(number, {reason: count for reason, count in refused.items() if count})


def replay_matching(*, matching: Matching, now: datetime, most: int = AT_ONCE) -> Replayed:
    """Replay the first `most` dead ones of some messages, archived or not, in the order of their ids.

    Calling it again goes on, since what has been replayed is dead no more; a message that dies anew matches
    anew, unless the caller bounds `finished_at`.
    """
    replayable = dead(matching)
    ids = list(replayable.order_by("pk").values_list("pk", flat=True)[:most])
    number = _replay(ids, now=now) if ids else 0
    cancelled = _count(matching.filter(state=MessageState.DEAD, outbox__cancelled_at__isnull=False))
    remaining = _count(replayable) if len(ids) == most else 0
    return Replayed(number, {"outbox_cancelled": cancelled} if cancelled else {}, remaining)


def dead(matching: Matching) -> Matching:
    """Those that can be replayed: the dead, but those of cancelled outboxes."""
    return matching.filter(state=MessageState.DEAD, outbox__cancelled_at=None)


def count_dead(matching: Matching) -> int:
    """How many can be replayed, counted up to 100,000."""
    return _count(dead(matching))


def _replay(message_ids: Sequence[UUID], *, now: datetime) -> int:
    archive.restore_dead(message_ids=message_ids)
    return messages.replay(message_ids=message_ids, now=now)


def _count(rows: Matching) -> int:
    return rows.order_by()[:COUNTED].count()
