"""When outboxes will have been sent.

An estimate is an upper bound of what is queued now: what is enqueued later, or fails, comes on top.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import perf_counter
from uuid import UUID

from django.db import connection
from django.db.models import Count, Q, Sum

from apps.messaging.limiter.rules import Limit
from apps.messaging.models import (
    Account,
    Layer,
    Message,
    MessageState,
    Outbox,
    PlatformState,
    QuietZone,
    SendLimit,
)
from apps.messaging.pace import Lane, LaneEnd, Pace, lane_ends
from apps.messaging.services.limits import Limits, read_limits
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

# The accounts that have something queued of these outboxes: a probe of the queue's index for each pair.
_ACCOUNTS = """
SELECT account.id FROM messaging_account account
WHERE account.tenant_id = ANY(%(tenants)s) AND EXISTS (
    SELECT FROM messaging_message message
    WHERE message.account_id = account.id AND message.state = 'queued'
      AND message.outbox_id = ANY(%(boxes)s)
)
"""
_LANES = """
SELECT message.account_id, message.outbox_id, message.priority, count(*),
       min(message.not_before), max(message.not_before)
FROM messaging_message message
LEFT JOIN messaging_outbox outbox ON outbox.id = message.outbox_id
WHERE message.state = 'queued' AND message.account_id = ANY(%(accounts)s)
  AND outbox.paused_at IS NULL AND outbox.cancelled_at IS NULL
GROUP BY 1, 2, 3
"""

# Whose messages an account has queued.
_USERS = """
SELECT DISTINCT message.account_id, COALESCE(message.user_id, outbox.user_id)
FROM messaging_message message
LEFT JOIN messaging_outbox outbox ON outbox.id = message.outbox_id
WHERE message.state = 'queued' AND message.account_id = ANY(%(accounts)s)
  AND outbox.paused_at IS NULL AND outbox.cancelled_at IS NULL
  AND COALESCE(message.user_id, outbox.user_id) IS NOT NULL
"""

# Counting takes a third of a second for each million of queued messages. An estimate is an instant, which
# stays the same while the queue shrinks as foreseen; so one that was dear is kept for a while.
_DEAR = timedelta(milliseconds=100)
_KEPT_PER_COST = 50
_KEPT_AT_MOST = timedelta(minutes=1)
_kept: dict[UUID, tuple[datetime, datetime | None]] = {}


@dataclass(frozen=True, slots=True)
class Queue:
    """What an account has queued in lanes that move, from when on, and when it will be empty.

    `ends_at` is None where nothing is queued or it stands still.
    """

    queued: int
    ends_at: datetime | None
    first: datetime | None = field(default=None, compare=False)


def paces(accounts: Sequence[Account]) -> dict[UUID, Pace]:
    """How fast each account may send by its own limit and quiet hours."""
    with system_transaction():
        limits = read_limits(account.tenant_id for account in accounts)
    return {account.pk: _pace(account, limits) for account in accounts}


def of_accounts(accounts: Sequence[Account], *, now: datetime) -> dict[UUID, Queue]:
    """What each of these accounts has to send, and until when; tenants' and the global limit are left out."""
    with system_transaction():
        roads = _Roads.read(accounts, now=now)
        by_users = _ends_of_users(accounts, now=now)
    ends = {account.pk: roads.ends(account) for account in accounts}
    return {
        account_id: Queue(
            queued=sum(lane.queued for lane in roads.lanes[account_id]),
            first=min((lane.first for lane in roads.lanes[account_id]), default=None),
            ends_at=max([*(each.at for each in found.values()), *by_users[account_id]]) if found else None,
        )
        for account_id, found in ends.items()
    }


def _queued_of(users: Collection[UUID]) -> Mapping[UUID, int]:
    """How many messages of theirs may go, wherever."""
    queued: Counter[UUID] = Counter()
    boxes = Outbox.objects.filter(user_id__in=users, paused_at=None, cancelled_at=None, queued__gt=0)
    queued.update(dict(boxes.values_list("user_id").annotate(Sum("queued"))))
    singles = Message.objects.filter(user_id__in=users, outbox=None, state=MessageState.QUEUED)
    queued.update(dict(singles.order_by().values_list("user_id").annotate(Count("pk"))))
    return queued


def _ends_of_users(accounts: Sequence[Account], *, now: datetime) -> Mapping[UUID, Sequence[datetime]]:
    """By account: when all will have gone that those have queued, wherever, whose own limit it waits for."""
    ends: defaultdict[UUID, list[datetime]] = defaultdict(list)
    if not SendLimit.objects.filter(layer=Layer.USER).exists():
        return ends
    with connection.cursor() as cursor:
        cursor.execute(_USERS, {"accounts": [account.pk for account in accounts]})
        found = cursor.fetchall()
    users = {user_id for _, user_id in found}
    limits, queued = read_limits(users), _queued_of(users)
    of_user = {
        user_id: Pace(limit).at(now, queued[user_id] - 1)
        for user_id in users
        if (limit := limits.of_layer(Layer.USER, user_id))
    }
    for account_id, user_id in found:
        if user_id in of_user:
            ends[account_id].append(of_user[user_id])
    return ends


def estimates(*, outboxes: Iterable[Outbox], now: datetime) -> dict[UUID, datetime]:
    """When the last queued message of each outbox goes.

    An outbox isn't in it where nothing is queued or where it can't be known: it is paused, or one of the
    accounts, or the tenant or platform, that some of its messages wait for. Counts each account's queue, with
    what other outboxes have in it; six statements however many there are.
    """
    moving = [
        box for box in outboxes if box.queued and not (box.paused_at or box.cancelled_at or box.closed_at)
    ]
    kept = {box.pk: entry[1] for box in moving if (entry := _kept.get(box.pk)) and entry[0] > now}
    asked = [box for box in moving if box.pk not in kept]
    if asked:
        began = perf_counter()
        with system_transaction():
            found = _estimate(asked, now=now)
        _keep(found, cost=timedelta(seconds=perf_counter() - began), now=now)
        kept.update(found)
    return {box_id: end for box_id, end in kept.items() if end}


def _keep(found: Mapping[UUID, datetime | None], *, cost: timedelta, now: datetime) -> None:
    for box_id in [each for each, (until, _) in list(_kept.items()) if until <= now]:
        _kept.pop(box_id, None)
    if cost >= _DEAR:
        until = now + min(_KEPT_PER_COST * cost, _KEPT_AT_MOST)
        _kept.update({box_id: (until, end) for box_id, end in found.items()})


def _estimate(outboxes: Sequence[Outbox], *, now: datetime) -> dict[UUID, datetime | None]:
    given = {"tenants": list({box.tenant_id for box in outboxes}), "boxes": [box.pk for box in outboxes]}
    with connection.cursor() as cursor:
        cursor.execute(_ACCOUNTS, given)
        account_ids = [account_id for (account_id,) in cursor.fetchall()]
    accounts = list(Account.objects.defer("credential").filter(pk__in=account_ids))
    roads = _Roads.read(accounts, users=[box.user_id for box in outboxes], now=now)
    stuck: set[UUID] = set()
    slowest: dict[UUID, LaneEnd] = {}
    for account in accounts:
        ends = roads.ends(account)
        for lane in roads.lanes[account.pk]:
            if lane.outbox_id and not ends:
                stuck.add(lane.outbox_id)
            elif lane.outbox_id:
                slowest[lane.outbox_id] = _later(slowest.get(lane.outbox_id), ends[lane])
    return {
        box.pk: _under_shared_limits(box, slowest[box.pk], roads.limits, now=now)
        if box.pk in slowest and box.pk not in stuck
        else None
        for box in outboxes
    }


def _later(one: LaneEnd | None, other: LaneEnd) -> LaneEnd:
    return LaneEnd(max(one.at, other.at), max(one.ahead, other.ahead)) if one else other


@dataclass(frozen=True, slots=True)
class _Roads:
    """What lies before each account's messages, and how fast it may go."""

    lanes: Mapping[UUID, Sequence[Lane]]
    limits: Limits
    closed_tenants: frozenset[UUID]
    platforms: Mapping[str, PlatformState]
    now: datetime

    @classmethod
    def read(
        cls, accounts: Sequence[Account], *, users: Iterable[UUID | None] = (), now: datetime
    ) -> "_Roads":
        tenants = {account.tenant_id for account in accounts}
        lanes: defaultdict[UUID, list[Lane]] = defaultdict(list)
        with connection.cursor() as cursor:
            cursor.execute(_LANES, {"accounts": [account.pk for account in accounts]})
            for account_id, *lane in cursor.fetchall():
                lanes[account_id].append(Lane(*lane))
        paused = Tenant.objects.filter(pk__in=tenants, paused_at__isnull=False)
        return cls(
            lanes=lanes,
            limits=read_limits([*tenants, *users]),
            closed_tenants=frozenset(paused.values_list("pk", flat=True)),
            platforms=PlatformState.objects.in_bulk(),
            now=now,
        )

    def ends(self, account: Account) -> dict[Lane, LaneEnd]:
        """When each of the account's lanes will be empty; nothing if it stands still."""
        platform = self.platforms.get(account.platform)
        if account.paused_at or account.tenant_id in self.closed_tenants or (platform and platform.paused_at):
            return {}
        begin = max(self.now, account.next_due or self.now)
        if platform and platform.open_until:
            begin = max(begin, platform.open_until)
        return lane_ends(self.lanes[account.pk], pace=_pace(account, self.limits), begin=begin)


def _pace(account: Account, limits: Limits) -> Pace:
    return Pace(
        limit=limits.of_account(account),
        quiet_start=account.quiet_start,
        quiet_end=account.quiet_end,
        zone=account.time_zone,
        fans_sleep=account.quiet_zone == QuietZone.FAN,
    )


def _under_shared_limits(box: Outbox, end: LaneEnd, limits: Limits, *, now: datetime) -> datetime:
    """The end, or later if the limits of user, tenant and everything together let through fewer.

    Accounts share those in turns: when one of them has sent n messages, no other one has sent many more. So
    as many go before the outbox's last one as all accounts have in as many turns, or as there are.
    """

    def at(limit: Limit, ahead: int) -> datetime:
        return Pace(limit).at(now, max(ahead, box.queued) - 1)

    ends = [end.at]
    for layer, subject_id, scope in (
        (Layer.TENANT, box.tenant_id, Q(tenant_id=box.tenant_id)),
        (Layer.GLOBAL, None, Q()),
    ):
        if limit := limits.of_layer(layer, subject_id):
            ends.append(at(limit, _ahead(scope, turns=end.ahead + 1)))
    if box.user_id and (limit := limits.of_layer(Layer.USER, box.user_id)):
        ends.append(at(limit, _queued_of({box.user_id})[box.user_id]))
    return max(ends)


def _ahead(scope: Q, *, turns: int) -> int:
    """How many messages of a tenant or everybody may go in so many turns of each account."""
    boxes = Outbox.objects.filter(scope, paused_at=None, cancelled_at=None, queued__gt=0)
    singles = Message.objects.filter(scope, outbox=None, state=MessageState.QUEUED)
    total: int = boxes.aggregate(sum=Sum("queued", default=0))["sum"] + singles.count()
    accounts = Account.objects.filter(scope, paused_at=None, next_due__isnull=False).count()
    return min(total, turns * accounts)
