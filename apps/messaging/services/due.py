"""`Account.next_due`: when a claim looks at an account again."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Greatest, Least

from apps.messaging.models import Account
from apps.messaging.services import queue, slots


def bring_forward(account_ids: Iterable[UUID], *, at: datetime) -> None:
    """Have the accounts looked at by then, though not while they are blocked; in the order of their ids.

    It locks the accounts until the transaction ends, so a claim can't overtake what the transaction enqueues.
    """
    for account_id in sorted(account_ids):
        # PostgreSQL's GREATEST and LEAST pass over nulls.
        Account.objects.filter(pk=account_id).update(
            next_due=Greatest(F("blocked_until"), Least(F("next_due"), at))
        )


def reconsider(account_ids: Iterable[UUID], *, now: datetime) -> None:
    """Bring the accounts forward to when they can really send: something may go and there is a slot for it.

    For a transaction of its own, after outcomes were written: it locks accounts.
    """
    accounts = list(
        Account.objects.select_for_update(no_key=True)
        .filter(pk__in=set(account_ids))
        .defer("credential")
        .order_by("pk")
    )
    first = queue.earliest([account.pk for account in accounts])
    logs = slots.read_logs(accounts, now=now)
    for account in accounts:
        if account.pk in first:
            free = slots.next_free(account, logs[account.pk], now=now)
            bring_forward([account.pk], at=max(first[account.pk], free))
