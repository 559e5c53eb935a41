"""Messages put straight into a stack's database, many at a time, and what has become of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from cryptography.fernet import Fernet

from apps.messaging.timing import SEND_WITHIN
from huntaze import secrets
from huntaze.stack import Stack
from tests.live import query

_ACCOUNTS = """
INSERT INTO messaging_account
    (id, tenant_id, platform, external_id, name, credential, limit_count, limit_seconds, time_zone,
     pause_reason)
SELECT gen_random_uuid(), %(tenant)s, 'onlyfans', %(prefix)s || '-' || number, 'Creator ' || number,
       %(credential)s, %(count)s, %(seconds)s, 'UTC', ''
FROM generate_series(1, %(accounts)s) AS number
"""
_FANS = """
INSERT INTO messaging_fan (id, tenant_id, account_id, external_id, name, attributes, spend, consent)
SELECT gen_random_uuid(), tenant_id, account.id, external_id || '-fan-' || number, '', '{}', 0, true
FROM messaging_account AS account, generate_series(1, %(messages)s) AS number
WHERE tenant_id = %(tenant)s
"""
_OUTBOX = """
INSERT INTO messaging_outbox (id, tenant_id, priority, queued, sending, sent, unknown, dead, cancelled)
VALUES (%(outbox)s, %(tenant)s, 1, %(accounts)s * %(messages)s, 0, 0, 0, 0, 0)
"""
_MESSAGES = """
INSERT INTO messaging_message (
    id, tenant_id, account_id, fan_id, outbox_id, text, media, priority, not_before,
    state, attempt, failures, slots, platform_id, reason, error
)
SELECT gen_random_uuid(), tenant_id, account_id, id, %(outbox)s, 'Hello', '[]', 1, now(),
       'queued', 0, 0, '{}', '', '', ''
FROM messaging_fan WHERE tenant_id = %(tenant)s
"""
_DUE = "UPDATE messaging_account SET next_due = now() WHERE tenant_id = %(tenant)s"
_ROWS = """
SELECT message.id::text, account.external_id, message.state, message.attempt,
       extract(epoch FROM message.send_by)::float8
FROM messaging_message message JOIN messaging_account account ON account.id = message.account_id
WHERE message.outbox_id = %s
"""
_COUNTERS = "SELECT queued, sending, sent, unknown, dead, cancelled FROM messaging_outbox WHERE id = %s"
_WAITING = """
SELECT DISTINCT account.external_id
FROM messaging_message message JOIN messaging_account account ON account.id = message.account_id
WHERE message.outbox_id = %s AND message.state = 'queued' AND message.not_before <= now()
"""


@dataclass(frozen=True)
class Row:
    """A message; `account` is the platform's id."""

    id: str
    account: str
    state: str
    attempt: int
    # The end of its time to be sent, in seconds since 1970, while an attempt is open.
    send_by: float | None

    @property
    def granted_at(self) -> float:
        return (self.send_by or 0) - SEND_WITHIN.total_seconds()


@dataclass(frozen=True)
class Backlog:
    """One outbox over several accounts, each limited to `count` messages in `seconds`."""

    services: Stack
    outbox: UUID
    accounts: int
    messages: int
    count: int
    seconds: int

    @property
    def total(self) -> int:
        return self.accounts * self.messages

    def rows(self) -> list[Row]:
        return [Row(*found) for found in query(self.services, _ROWS, self.outbox)]

    def under_way(self) -> list[Row]:
        """Those of which it isn't known yet what becomes of their latest attempt."""
        return [
            Row(*found)
            for found in query(
                self.services, f"{_ROWS} AND message.state IN ('sending', 'unknown')", self.outbox
            )
        ]

    def waiting(self) -> frozenset[str]:
        """The accounts with messages that may go."""
        return frozenset(account for (account,) in query(self.services, _WAITING, self.outbox))

    def counters(self) -> Mapping[str, int]:
        """The outbox's own count of each state."""
        ((*numbers,),) = query(self.services, _COUNTERS, self.outbox)
        names = ("queued", "sending", "sent", "unknown", "dead", "cancelled")
        return Counter(dict(zip(names, numbers, strict=True)))


def enqueue_backlog(services: Stack, *, accounts: int, messages: int, count: int, seconds: int) -> Backlog:
    """A tenant with so many accounts and so many messages for each, all due now."""
    backlog = Backlog(services, uuid4(), accounts, messages, count, seconds)
    key = secrets.load(services.home).encryption_key
    fields = {
        "tenant": uuid4(),
        "outbox": backlog.outbox,
        "prefix": f"creator-{backlog.outbox.hex[:6]}",
        "credential": Fernet(key).encrypt(b"a token").decode(),
        "accounts": accounts,
        "messages": messages,
        "count": count,
        "seconds": seconds,
    }
    with psycopg.connect(services.urls.superuser, dbname="huntaze") as connection:
        connection.execute(
            "INSERT INTO tenants_tenant (id, name, time_zone, currency)"
            " VALUES (%(tenant)s, %(prefix)s, 'UTC', 'USD')",
            fields,
        )
        for statement in (_ACCOUNTS, _FANS, _OUTBOX, _MESSAGES, _DUE):
            connection.execute(statement, fields)
    return backlog
