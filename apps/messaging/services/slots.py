"""The limiter over `Message.slots`: exact as long as the accounts asked about are locked."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.messaging.limiter import Limit, Log, decide
from apps.messaging.models import Account

_YOUNG = """
SELECT message.account_id, message.fan_id, stamp
FROM unnest(%s::uuid[], %s::timestamptz[]) AS asked (account_id, horizon)
JOIN messaging_message message
  ON message.account_id = asked.account_id AND message.newest_slot > asked.horizon
CROSS JOIN LATERAL unnest(message.slots) AS stamp
WHERE stamp > asked.horizon
"""


def account_limit(account: Account) -> Limit:
    return Limit(count=account.limit_count, seconds=account.limit_seconds)


def recipient_limit() -> Limit:
    return Limit(count=settings.SEND_LIMIT_COUNT, seconds=settings.SEND_LIMIT_SECONDS)


def read_logs(accounts: Iterable[Account], *, now: datetime) -> dict[UUID, Log]:
    """The stamps of each account that are younger than the longer of its windows."""
    horizons = {
        account.pk: now - max(account_limit(account).window, recipient_limit().window) for account in accounts
    }
    logs = {account_id: Log() for account_id in horizons}
    with connection.cursor() as cursor:
        cursor.execute(_YOUNG, [list(horizons), list(horizons.values())])
        for account_id, fan_id, stamp in cursor.fetchall():
            logs[account_id].add(fan_id, stamp)
    return logs


def next_free(account: Account, log: Log, *, now: datetime) -> datetime:
    """When the account has a slot."""
    return decide(log.stamps, limit=account_limit(account), now=now).next_free
