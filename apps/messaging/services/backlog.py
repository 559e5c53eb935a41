"""What accounts have still to send, what they wait for, and when they will have sent it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import Q, Sum

from apps.common.instants import LAST
from apps.messaging.models import Account, Layer, Message, MessageState, Outbox
from apps.messaging.pace import Pace
from apps.messaging.services import eta, quiet_hours
from apps.messaging.services.layers import Standing, Subject
from apps.messaging.services.situation import Situation
from apps.tenants.system import system_transaction

# What queues don't show: each part reads an index of its own.
_ASIDE = """
SELECT message.account_id, 'held', count(*) FROM messaging_message message
JOIN messaging_outbox outbox ON outbox.id = message.outbox_id
WHERE message.state = 'queued' AND message.account_id = ANY(%(accounts)s)
  AND outbox.paused_at IS NOT NULL AND outbox.cancelled_at IS NULL
GROUP BY message.account_id
UNION ALL
SELECT account_id, 'sending', count(*) FROM messaging_message
WHERE state = 'sending' AND account_id = ANY(%(accounts)s) GROUP BY account_id
UNION ALL
SELECT account_id, 'unknown', count(*) FROM messaging_message
WHERE state = 'unknown' AND account_id = ANY(%(accounts)s) GROUP BY account_id
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """An account's messages that have not come to their end.

    `queued` may go, the first of them from `first` on, and by the limits of the account and of those who
    queued them all are gone at `ends_at`. `held` are queued in paused outboxes.
    """

    queued: int
    held: int
    sending: int
    unknown: int
    first: datetime | None
    ends_at: datetime | None
    pace: Pace


@dataclass(frozen=True, slots=True)
class Load:
    """What a layer above the accounts has to carry: its queued messages, and the accounts they are of."""

    queued: int
    accounts: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """When an account goes on, and when it is done: None where only a person can tell, or nothing is queued.

    `waits_for` says what the next message waits for, as a code; empty: nothing, or none is queued.
    """

    next_slot_at: datetime
    next_send_at: datetime | None
    eta: datetime | None
    waits_for: str


class Above(NamedTuple):
    """A layer above an account: how full it is, and its load."""

    standing: Standing
    load: Load


def read_backlogs(accounts: Sequence[Account], *, now: datetime) -> dict[UUID, Backlog]:
    """Of each of the accounts. More of them cost no more statements, all of which read indexes."""
    if not accounts:
        return {}
    queues, paces = eta.of_accounts(accounts, now=now), eta.paces(accounts)
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute(_ASIDE, {"accounts": [account.pk for account in accounts]})
        aside = {(account_id, what): number for account_id, what, number in cursor.fetchall()}
    return {
        account_id: Backlog(
            queued=queue.queued,
            held=aside.get((account_id, "held"), 0),
            sending=aside.get((account_id, "sending"), 0),
            unknown=aside.get((account_id, "unknown"), 0),
            first=queue.first,
            ends_at=queue.ends_at,
            pace=paces[account_id],
        )
        for account_id, queue in queues.items()
    }


def read_loads(subjects: Iterable[Subject]) -> dict[Subject, Load]:
    """Of tenants and of everything, from outboxes' counters and an index. Call it in the system's door."""
    return {each: _load(each) for each in subjects if each.layer in (Layer.TENANT, Layer.GLOBAL)}


def outlook(
    account: Account,
    backlog: Backlog,
    standing: Standing,
    *,
    above: Sequence[Above] = (),
    situation: Situation,
    tenant_paused: bool,
    now: datetime,
) -> Outlook:
    """When its queue goes on, what it waits for, and when it will have gone.

    The end is an upper bound of what is queued now, under the limits of the account, of the users whose
    messages they are, and of the layers above, which its accounts share in turns. A recipient's limit shows
    once it has put a message off.
    """
    slot = now + max(each.wait for each in (standing, *(each.standing for each in above)))
    stop = _stop(account, situation, tenant_paused=tenant_paused)
    if stop or not backlog.queued:
        return Outlook(slot, None, None, stop if backlog.queued or backlog.held else "")
    waits = {
        "not_before": backlog.first,
        "limit": slot,
        "blocked": account.blocked_until,
        "breaker_open": situation.platforms[account.platform].probed_at,
        "quiet_hours": quiet_hours.of_account(account, now=now),
    }
    latest, reason = max((at, name) for name, at in waits.items() if at)
    return Outlook(
        next_slot_at=slot,
        next_send_at=max(quiet_hours.of_account(account, now=latest) or latest, now),
        eta=_end(account, backlog, standing, above, now=now),
        waits_for=reason if latest > now else "",
    )


def _stop(account: Account, situation: Situation, *, tenant_paused: bool) -> str:
    if tenant_paused:
        return "tenant_paused"
    return "account_paused" if account.paused_at else situation.platforms[account.platform].obstacle


def _end(
    account: Account, backlog: Backlog, standing: Standing, above: Sequence[Above], *, now: datetime
) -> datetime | None:
    opens = max(now, account.blocked_until or now)
    ends = [standing.after(backlog.queued, pace=backlog.pace, now=opens)]
    for each in above:
        turns = min(each.load.queued, backlog.queued * max(1, each.load.accounts))
        pace = Pace(each.standing.limit)
        ends.append(each.standing.after(max(backlog.queued, turns), pace=pace, now=opens))
    end = max(ends) if backlog.ends_at is None else max(*ends, backlog.ends_at)
    return end if end < LAST else None


def _load(subject: Subject) -> Load:
    whose = Q(tenant_id=subject.subject_id) if subject.layer == Layer.TENANT else Q()
    boxes = Outbox.objects.filter(whose, queued__gt=0, paused_at=None, cancelled_at=None)
    singles = Message.objects.filter(whose, outbox=None, state=MessageState.QUEUED)
    due = Account.objects.filter(whose, next_due__isnull=False, paused_at=None)
    return Load(
        queued=boxes.aggregate(all=Sum("queued", default=0))["all"] + singles.count(), accounts=due.count()
    )
