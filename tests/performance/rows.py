"""Accounts, fans and messages in bulk, made in the database by the superuser, whom no policy concerns.

Accounts and fans are numbered from 0, and the platform's ids of them are their numbers: an account's fans are
those from number times `fans` on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from huntaze import secrets
from huntaze.stack import Stack

# More than anything here asks for: such a limit is in force but never binds.
WIDE = 1_000_000

_TENANTS = """
INSERT INTO tenants_tenant (id, name, time_zone, currency)
SELECT uuidv7(), 'Agency ' || number, 'UTC', 'USD' FROM generate_series(0, %(tenants)s - 1) number
"""
_OUTBOXES = """
INSERT INTO messaging_outbox (id, tenant_id, campaign_id, priority,
                              queued, sending, sent, unknown, dead, cancelled)
SELECT uuidv7(), id, uuidv7(), 1, 0, 0, 0, 0, 0, 0 FROM tenants_tenant
"""
_ACCOUNTS = """
WITH tenant AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM tenants_tenant)
INSERT INTO messaging_account (id, tenant_id, platform, external_id, name, credential, limit_count,
                               limit_seconds, time_zone, pause_reason)
SELECT uuidv7(), tenant.id, 'onlyfans', account.number::text, 'Creator ' || account.number,
       (%(credentials)s::text[])[1 + account.number %% %(different)s], %(count)s, %(seconds)s, 'UTC', ''
FROM generate_series(0, %(accounts)s - 1) account (number)
JOIN tenant ON tenant.number = CASE WHEN account.number < %(of_whale)s THEN 0
    ELSE %(whales)s + account.number %% (%(tenants)s - %(whales)s) END
"""
_FANS = """
INSERT INTO messaging_fan (id, tenant_id, account_id, external_id, name, attributes, spend, consent)
SELECT uuidv7(), account.tenant_id, account.id, (account.external_id::int * %(fans)s + fan.number)::text,
       'Fan ' || fan.number, '{}', 0, true
FROM messaging_account account CROSS JOIN generate_series(0, %(fans)s - 1) fan (number)
"""
_LIMIT = """
INSERT INTO messaging_sendlimit (id, layer, platform, count, seconds, min_gap_ms)
VALUES (uuidv7(), %s, '', %s, %s, 0)
"""
_MESSAGES = """
INSERT INTO messaging_message (id, tenant_id, account_id, fan_id, outbox_id, text, media, priority,
                               not_before, state, attempt, failures, slots, platform_id, reason, error)
SELECT uuidv7(), fan.tenant_id, fan.account_id, fan.id, outbox.id, 'Hello ' || fan.name || ', it is me.',
       '[]', 1, %(at)s::timestamptz + ({after}) * interval '1 second', 'queued', 0, 0, '{{}}', '', '', ''
FROM messaging_fan fan JOIN messaging_account account ON account.id = fan.account_id
LEFT JOIN messaging_outbox outbox ON outbox.tenant_id = fan.tenant_id AND %(campaigns)s
CROSS JOIN LATERAL (SELECT account.external_id::int, fan.external_id::int) AS number (account, fan)
WHERE number.account BETWEEN %(first)s AND %(last)s AND number.fan %% %(fans)s < %(each)s
"""
_COUNT = """
UPDATE messaging_outbox AS outbox SET queued = waiting.number, sending = 0, sent = 0
FROM (SELECT outbox_id, count(*) AS number FROM messaging_message WHERE state = 'queued' GROUP BY 1) waiting
WHERE waiting.outbox_id = outbox.id
"""
_RELEASE = """
UPDATE messaging_account AS account SET next_due = first.at
FROM (SELECT account_id, min(not_before) AS at FROM messaging_message WHERE state = 'queued' GROUP BY 1) first
WHERE first.account_id = account.id
"""


@dataclass(frozen=True)
class Population:
    """`of_whale` accounts belong to one tenant, the others evenly to the rest of the tenants."""

    accounts: int
    fans: int  # of each account
    tenants: int = 10
    of_whale: int = 0
    count: int = WIDE
    seconds: int = 60


class Rows:
    """The rows of one stack. Messages are made again for each round."""

    def __init__(self, stack: Stack, population: Population) -> None:
        self.population = population
        self._url = stack.urls.superuser
        self._cipher = Fernet(secrets.load(stack.home).encryption_key)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        with psycopg.connect(self._url, dbname="huntaze", autocommit=True) as connection:
            yield connection

    def populate(self, limits: Mapping[str, tuple[int, int]] | None = None) -> None:
        """Make tenants, accounts and fans; `limits` are count and seconds by layer, for everybody."""
        people = self.population
        different = min(people.accounts, 1000)
        credentials = [self._cipher.encrypt(f"token {each}".encode()).decode() for each in range(different)]
        given = {
            **vars(people),
            "whales": int(people.of_whale > 0),
            "credentials": credentials,
            "different": different,
        }
        with self.connection() as connection:
            for statement in (_TENANTS, _OUTBOXES, _ACCOUNTS, _FANS):
                connection.execute(statement, given)
            for layer, (count, seconds) in (limits or {}).items():
                connection.execute(_LIMIT, (layer, count, seconds))
            connection.execute("ANALYZE")

    def enqueue(
        self,
        *,
        each: int,
        accounts: range | None = None,
        lead: float = 0,
        after: str = "0",
        campaigns: bool = True,
    ) -> int:
        """Queue `each` messages of the accounts, to a fan of its own each; nothing is due before `release`.

        They may be sent `lead` seconds from now, or `after` that: an SQL expression over number.account and
        number.fan. Returns how many they are.
        """
        chosen = accounts or range(self.population.accounts)
        statement = sql.SQL(_MESSAGES).format(after=sql.SQL(after))
        given = {
            "fans": self.population.fans,
            "each": each,
            "first": chosen.start,
            "last": chosen.stop - 1,
            "campaigns": campaigns,
        }
        with self.connection() as connection:
            row = connection.execute("SELECT clock_timestamp() + %s * interval '1 second'", [lead]).fetchone()
            made = connection.execute(statement, {**given, "at": row and row[0]})
            return made.rowcount

    def release(self) -> None:
        """Have the accounts looked at from when their first messages may be sent."""
        with self.connection() as connection:
            connection.execute("VACUUM ANALYZE messaging_message, messaging_account")
            connection.execute(_COUNT)
            connection.execute(_RELEASE)

    def wait_for_ever(self) -> None:
        """Have nothing more fall due."""
        with self.connection() as connection:
            connection.execute(
                "UPDATE messaging_message SET not_before = now() + interval '1 day' WHERE state = 'queued'"
            )
            connection.execute(
                "UPDATE messaging_account SET next_due = now() + interval '1 day' WHERE next_due IS NOT NULL"
            )

    def clear(self) -> None:
        """Forget all messages."""
        with self.connection() as connection:
            connection.execute("UPDATE messaging_account SET next_due = NULL WHERE next_due IS NOT NULL")
            connection.execute("TRUNCATE messaging_message")

    def unfinished(self) -> bool:
        with self.connection() as connection:
            row = connection.execute(
                "SELECT EXISTS (SELECT FROM messaging_message WHERE state IN ('queued', 'sending'))"
            ).fetchone()
            return bool(row and row[0])

    def states(self) -> dict[str, int]:
        with self.connection() as connection:
            found = connection.execute("SELECT state, count(*) FROM messaging_message GROUP BY 1")
            return dict(found.fetchall())

    def due(self) -> dict[int, int]:
        """When each message might be sent, in microseconds since 1970, by the number of its fan."""
        with self.connection() as connection:
            return dict(
                connection.execute(
                    "SELECT fan.external_id::int, (extract(epoch FROM message.not_before) * 1000000)::bigint "
                    "FROM messaging_message message JOIN messaging_fan fan ON fan.id = message.fan_id"
                ).fetchall()
            )
