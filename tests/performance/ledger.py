"""A ledger in bulk, made in the database by the superuser, whom no policy concerns.

Campaigns are numbered from 0; each has an account and a user of its own, and a tenant that it shares with
others. Model, task kind and campaign are drawn uniformly. Entries are spread evenly over the days, in order.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from huntaze.stack import Stack
from tests.performance.running import measure

# How many entries a benchmark's ledger has, and how many the day has that is rolled up.
ENTRIES = int(os.environ.get("HUNTAZE_BENCH_LEDGER", "10_000_000"))
ENTRIES_OF_DAY = int(os.environ.get("HUNTAZE_BENCH_LEDGER_DAY", "500_000"))
DAY = timedelta(days=1)
# Of one statement, and of one run of the roll-ups.
_AT_ONCE, _OF_RUN = 100_000, 500_000
_MODELS = ["gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-3.5-turbo", "o4-mini"]
_KINDS = ["planning", "multi_platform", "message", "quick_reply", "idea", "caption"]

_TENANTS = """
INSERT INTO tenants_tenant (id, name, time_zone, currency)
SELECT md5('tenant ' || number)::uuid, 'Agency ' || number, 'UTC', 'USD'
FROM generate_series(0, %(tenants)s - 1) number
"""
_PRICES = """
INSERT INTO costs_price (provider, model, input_per_million, output_per_million, currency, starts_at)
SELECT CASE WHEN place %% 2 = 0 THEN 'azure' ELSE 'openai' END, model, 1, 1, 'USD', '2020-01-01'
FROM unnest(%(models)s::text[]) WITH ORDINALITY AS each (model, place)
"""
_ENTRIES = """
INSERT INTO costs_ledgerentry (tenant_id, occurred_at, generation_id, attempt, provider, model, task_kind,
    account_id, campaign_id, user_id, price_id, input_tokens, cached_tokens, output_tokens, amount)
SELECT md5('tenant ' || drawn.campaign %% %(tenants)s)::uuid, %(since)s + number * %(apart)s, uuidv7(), 1,
    price.provider, price.model, (%(kinds)s::text[])[1 + drawn.kind], md5('account ' || drawn.campaign)::uuid,
    md5('campaign ' || drawn.campaign)::uuid, md5('user ' || drawn.campaign)::uuid, price.id,
    500 + number %% 1000, number %% 100, 50 + number %% 200, (500 + number %% 1000) * 0.0000005
FROM (
    SELECT number, floor(random() * %(campaigns)s)::integer AS campaign,
        floor(random() * cardinality(%(models)s::text[]))::integer AS model,
        floor(random() * cardinality(%(kinds)s::text[]))::integer AS kind
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) number
    OFFSET 0
) AS drawn
JOIN costs_price AS price
    ON price.model = (%(models)s::text[])[1 + drawn.model] AND price.starts_at = '2020-01-01'
ORDER BY number
"""
_BYTES = """
SELECT sum(pg_table_size(relid) + pg_indexes_size(relid)) FROM pg_partition_tree(%s)
"""


@dataclass(frozen=True)
class Spenders:
    tenants: int = 50
    campaigns: int = 500


class Ledger:
    """The ledger of one stack, and its roll-ups."""

    def __init__(self, stack: Stack, spenders: Spenders | None = None) -> None:
        self.spenders = spenders or Spenders()
        self._stack = stack
        self._given = {**asdict(self.spenders), "models": _MODELS, "kinds": _KINDS}

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        with psycopg.connect(self._stack.urls.superuser, dbname="huntaze", autocommit=True) as connection:
            yield connection

    def populate(self, *, entries: int, days: int) -> None:
        """Make tenants, prices, and entries of the days before today, all of them rolled up."""
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        with self.connection() as connection:
            connection.execute(_TENANTS, self._given)
            connection.execute("DELETE FROM costs_price WHERE starts_at = '2020-01-01'")
            connection.execute(_PRICES, self._given)
        apart = days * DAY / max(entries, 1)
        for first in range(0, entries, _OF_RUN):
            number = min(_OF_RUN, entries - first)
            self._enter(number, since=today - days * DAY + first * apart, apart=apart)
            self.roll_up()
        with self.connection() as connection:
            connection.execute("VACUUM ANALYZE")

    def enter_day(self, day: datetime, *, entries: int) -> None:
        """Enter the entries of one day, which nobody rolls up."""
        self._enter(entries, since=day, apart=DAY / entries)

    def roll_up(self) -> float:
        """Run the product's own roll-up, in a process of its own. The seconds that it took."""
        seconds: float = measure("rollup_load", environment=self._stack.environment)
        return seconds

    def ask(self, statement: str, *given: Any) -> Any:
        """The first column of a statement's only row."""
        with self.connection() as connection:
            row = connection.execute(statement, given).fetchone()
        return row and row[0]

    def bytes(self) -> int:
        """Of table and indexes."""
        return int(self.ask(_BYTES, "costs_ledgerentry"))

    def bytes_per_entry(self) -> float:
        return self.bytes() / int(self.ask("SELECT count(*) FROM costs_ledgerentry"))

    def _enter(self, number: int, *, since: datetime, apart: timedelta) -> None:
        until = since + number * apart
        months = (until.year - since.year) * 12 + until.month - since.month + 1
        with self.connection() as connection:
            connection.execute("SELECT ensure_ledger_partitions(%s, %s)", [since.date(), months])
            for first in range(0, number, _AT_ONCE):
                last = min(first + _AT_ONCE, number) - 1
                given = {**self._given, "since": since, "apart": apart, "first": first, "last": last}
                connection.execute(_ENTRIES, given)
