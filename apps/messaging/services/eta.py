"""When outboxes will have been sent."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, Max

from apps.common.instants import later
from apps.messaging.models import Account, Message, MessageState, Outbox
from apps.messaging.services.slots import account_limit


def estimate(*, outbox: Outbox, now: datetime) -> datetime | None:
    """When its last queued message goes, or None if nothing is queued or it stands still."""
    return estimates(outboxes=[outbox], now=now).get(outbox.pk)


def estimates(*, outboxes: Iterable[Outbox], now: datetime) -> dict[UUID, datetime]:
    """The same for many, in three queries however many they are.

    Each account sends one limit's worth per window, its whole queue in turn: an upper bound, since messages
    of other outboxes may well come later.
    """
    moving = [box.pk for box in outboxes if not (box.paused_at or box.cancelled_at or box.closed_at)]
    queued = Message.objects.filter(state=MessageState.QUEUED).order_by()
    lanes = list(
        queued.filter(outbox__in=moving, account__paused_at=None)
        .values(box=F("outbox_id"), of=F("account_id"))
        .annotate(latest=Max("not_before"))
    )
    accounts = Account.objects.defer("credential").in_bulk({lane["of"] for lane in lanes})
    backlog = dict(
        queued.filter(account__in=accounts)
        .values("account_id")
        .annotate(number=Count("pk"))
        .values_list("account_id", "number")
    )
    ends: dict[UUID, datetime] = {}
    for lane in lanes:
        end = _end(accounts[lane["of"]], backlog=backlog[lane["of"]], latest=lane["latest"], now=now)
        ends[lane["box"]] = max(end, ends.get(lane["box"], end))
    return ends


def _end(account: Account, *, backlog: int, latest: datetime, now: datetime) -> datetime:
    limit = account_limit(account)
    starts = max(now, account.next_due or now, latest)
    return later(starts, (backlog - 1) // limit.count * limit.window)
