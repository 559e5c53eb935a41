"""When an outbox will have been sent."""

from datetime import datetime

from django.db.models import Count, Max

from apps.messaging.models import Account, Message, MessageState, Outbox
from apps.messaging.services.slots import account_limit


def estimate(*, outbox: Outbox, now: datetime) -> datetime | None:
    """When its last queued message goes, at the accounts' limits; None if nothing is queued or it stands still.

    Each account sends one limit's worth per window, its whole queue in turn: an upper bound, since messages
    of other outboxes may well come later.
    """
    if outbox.paused_at or outbox.cancelled_at:
        return None
    queued = Message.objects.filter(state=MessageState.QUEUED).order_by()
    latest = dict(
        queued.filter(outbox=outbox, account__paused_at=None)
        .values("account_id")
        .annotate(latest=Max("not_before"))
        .values_list("account_id", "latest")
    )
    backlog = dict(
        queued.filter(account_id__in=latest)
        .values("account_id")
        .annotate(number=Count("pk"))
        .values_list("account_id", "number")
    )
    ends = []
    for account in Account.objects.filter(pk__in=latest).defer("credential"):
        limit = account_limit(account)
        starts = max(now, account.next_due or now, latest[account.pk])
        ends.append(starts + (backlog[account.pk] - 1) // limit.count * limit.window)
    return max(ends, default=None)
