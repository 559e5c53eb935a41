"""`Account.next_due`: when a claim looks at an account again, and which ones it looks at now."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from uuid import UUID

from django.db import connection
from django.db.models import F

from apps.messaging.models import Account, Message

# Tenants in turn, then their accounts by when they are due. Each tenant offers more of them than a claim
# takes, since other claims may hold its first ones.
_DUE = """
WITH RECURSIVE tenant AS (
    (SELECT tenant_id FROM messaging_account
     WHERE next_due IS NOT NULL AND paused_at IS NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT following.tenant_id FROM tenant CROSS JOIN LATERAL (
        SELECT tenant_id FROM messaging_account
        WHERE next_due IS NOT NULL AND paused_at IS NULL AND tenant_id > tenant.tenant_id
        ORDER BY tenant_id LIMIT 1
    ) following
), due AS (
    SELECT first.id, tenant.tenant_id, first.next_due,
           row_number() OVER (PARTITION BY tenant.tenant_id ORDER BY first.next_due, first.id) AS turn
    FROM tenant
    JOIN tenants_tenant agency ON agency.id = tenant.tenant_id AND agency.paused_at IS NULL
    CROSS JOIN LATERAL (
        SELECT id, next_due FROM messaging_account
        WHERE tenant_id = tenant.tenant_id AND next_due <= %(now)s AND paused_at IS NULL
          AND platform = ANY(%(platforms)s)
        ORDER BY next_due LIMIT 4 * %(most)s
    ) first
    WHERE NOT EXISTS (
        SELECT FROM messaging_sendblock block
        WHERE block.layer = 'tenant' AND block.subject_id = tenant.tenant_id AND block.until > %(now)s
    )
)
SELECT id, tenant_id FROM due ORDER BY turn, next_due LIMIT 10 * %(most)s
"""

# With more accounts due than this a tenant has a backlog. Who sends now and then has one or two.
FEW = 10

# A statement of its own: for each row that has changed since the snapshot, PostgreSQL evaluates it all again.
_LOCK_DUE = """
SELECT account.id, account.tenant_id, account.platform, account.limit_count, account.limit_seconds,
       account.min_gap_ms, account.time_zone, account.quiet_start, account.quiet_end, account.quiet_zone,
       account.fan_gap_seconds, account.fan_cap_count, account.fan_cap_seconds, account.claims
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS due (id, turn)
JOIN messaging_account account ON account.id = due.id
WHERE account.next_due <= %(now)s AND account.paused_at IS NULL
ORDER BY due.turn
LIMIT %(most)s
FOR NO KEY UPDATE OF account SKIP LOCKED
"""

# A statement of its own: as a part of the updates it might be skipped, or done in another order.
_LOCK = "SELECT id, next_due FROM messaging_account WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"

# PostgreSQL's GREATEST and LEAST pass over nulls.
_BRING_FORWARD = """
UPDATE messaging_account AS account
SET next_due = GREATEST(account.blocked_until, LEAST(account.next_due, due.at))
FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS due (id, at)
WHERE account.id = due.id
  AND account.next_due IS DISTINCT FROM GREATEST(account.blocked_until, LEAST(account.next_due, due.at))
"""

_HASTEN = """
UPDATE messaging_account AS account SET next_due = GREATEST(account.blocked_until, due.at)
FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS due (id, at)
WHERE account.id = due.id AND account.next_due > GREATEST(account.blocked_until, due.at)
"""

_CLAIMED = """
UPDATE messaging_account AS account
SET next_due = GREATEST(due.at, CASE WHEN due.at IS NOT NULL THEN account.blocked_until END),
    claims = account.claims + (account.id = ANY(%(granted)s))::int
FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS due (id, at)
WHERE account.id = due.id
"""

_BLOCK = """
UPDATE messaging_account AS account
SET blocked_until = GREATEST(account.blocked_until, block.until),
    next_due = CASE WHEN account.next_due IS NOT NULL
                    THEN GREATEST(account.next_due, account.blocked_until, block.until) END
FROM unnest(%(ids)s::uuid[], %(ats)s::timestamptz[]) AS block (id, until)
WHERE account.id = block.id
"""


@dataclass(frozen=True, slots=True)
class DueAccount:
    """An account that a claim has locked."""

    id: UUID
    tenant_id: UUID
    platform: str
    limit_count: int | None
    limit_seconds: int | None
    min_gap_ms: int
    time_zone: str
    quiet_start: time | None
    quiet_end: time | None
    quiet_zone: str
    fan_gap_seconds: int | None
    fan_cap_count: int | None
    fan_cap_seconds: int | None
    claims: int


@dataclass(frozen=True, slots=True)
class Due:
    """What a claim has locked, and of how many accounts that are due each tenant would have had turns.

    `held_back`: somebody with a backlog had no more than a share of turns. `curtailed`: for that, fewer were
    locked than might have been. `full`: there may be more due.
    """

    accounts: Sequence[DueAccount]
    turns: Mapping[UUID, int]
    held_back: bool
    curtailed: bool
    full: bool

    @property
    def shared(self) -> bool:
        """Whether several tenants have something due."""
        return len(self.turns) > 1

    @property
    def even(self) -> bool:
        """Whether several tenants have about as many accounts due, two at least."""
        fewest, most = min(self.turns.values(), default=0), max(self.turns.values(), default=0)
        return len(self.turns) > 1 and 1 < fewest >= most / 2


def lock_due(platforms: Iterable[str], *, most: int, now: datetime, of_backlog: int | None = None) -> Due:
    """Lock up to `most` accounts that are due, tenants in turn; those in other hands are passed over.

    `of_backlog`: of tenants with a backlog only so many, but all of the others'.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"platforms": list(platforms), "most": most, "now": now})
        found = cursor.fetchall()
        turns = Counter(tenant_id for _, tenant_id in found)
        shares = {tenant_id: _share(number, of_backlog) for tenant_id, number in turns.items()}
        room = min(most, sum(shares.values())) if of_backlog is not None else most
        ids = _within_first(found, shares)
        cursor.execute(_LOCK_DUE, {"ids": ids, "most": room, "now": now})
        accounts = [DueAccount(*row) for row in cursor.fetchall()]
    curtailed = room < min(most, len(found))
    return Due(
        accounts,
        turns,
        held_back=any(shares[tenant_id] < number for tenant_id, number in turns.items()),
        curtailed=curtailed,
        full=curtailed or len(accounts) == most,
    )


def _share(turns: int, of_backlog: int | None) -> int:
    return turns if of_backlog is None or turns <= FEW else min(turns, of_backlog)


def _within_first(found: Iterable[tuple[UUID, UUID]], shares: Mapping[UUID, int]) -> list[UUID]:
    """Accounts, each with its tenant: first those within their tenants' shares, then the others.

    These come in only for such as are in other hands.
    """
    seen: Counter[UUID] = Counter()
    within: list[UUID] = []
    beyond: list[UUID] = []
    for account_id, tenant_id in found:
        seen[tenant_id] += 1
        (within if seen[tenant_id] <= shares[tenant_id] else beyond).append(account_id)
    return within + beyond


def lock(account_ids: Iterable[UUID], *, waits: bool = True) -> dict[UUID, datetime | None]:
    """Lock the accounts until the transaction ends, so that no claim visits them; or those that nobody has.

    Returns when they are due.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOCK if waits else f"{_LOCK} SKIP LOCKED", [list(account_ids)])
        return dict(cursor.fetchall())


def bring_forward(account_ids: Iterable[UUID], *, at: datetime) -> None:
    """Have the accounts looked at by then, though not while they are blocked.

    It locks the accounts until the transaction ends, so a claim can't overtake what the transaction enqueues.
    """
    bring_forward_each(dict.fromkeys(account_ids, at))


def bring_forward_each(ats: Mapping[UUID, datetime]) -> None:
    """The same, each account to a time of its own."""
    _execute(_BRING_FORWARD, ats)


def firsts(messages: Iterable[Message]) -> dict[UUID, datetime]:
    """When the first of each account's messages may go; `messages` are in the queue."""
    found: dict[UUID, datetime] = {}
    for message in messages:
        first = found.get(message.account_id, message.not_before)
        found[message.account_id] = min(message.not_before, first)
    return found


def hasten(ats: Mapping[UUID, datetime], *, locked: Mapping[UUID, datetime | None]) -> None:
    """Have those of the locked accounts that wait for longer looked at by then; most are not touched."""
    longer = {each: at for each, at in ats.items() if (locked.get(each) or at) > at}
    if longer:
        _write(_HASTEN, longer)


def claimed(ats: Mapping[UUID, datetime | None], *, granted: Iterable[UUID]) -> None:
    """Say when locked accounts are looked at again, though not while they are blocked; None: not at all.

    `granted` names those of which the limiter has granted something.
    """
    if ats:
        _write(_CLAIMED, ats, granted=granted)


def load_anew(account_ids: Iterable[UUID]) -> None:
    """Have the limiter's logs of locked accounts read from the rows at the next visit."""
    # A log may be one claim ahead of the rows: of one that died before its commit.
    Account.objects.filter(pk__in=list(account_ids)).update(claims=F("claims") + 2)


def block(until: Mapping[UUID, datetime]) -> None:
    """Have nothing sent from the accounts before then."""
    _execute(_BLOCK, until)


def _execute(statement: str, ats: Mapping[UUID, datetime | None]) -> None:
    if ats:
        lock(ats)
        _write(statement, ats)


def _write(statement: str, ats: Mapping[UUID, datetime | None], *, granted: Iterable[UUID] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"ids": list(ats), "ats": list(ats.values()), "granted": list(granted)})
