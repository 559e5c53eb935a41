"""The least that entering a cost can be: three counters raised and a row inserted, in one transaction.

Each is sent to the database in one go and committed by itself. There is no hold that it ends, no lock against
a budget that is just being made, no partition, no policy, and whoever sends one twice has it twice.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from psycopg_pool import ConnectionPool

from tests.performance.settle_load import KIND, MODEL, PROVIDER, TENANTS, THREADS

_TABLES = """
DROP TABLE IF EXISTS plain_entry, plain_counter;
CREATE TABLE plain_entry (LIKE costs_ledgerentry INCLUDING ALL);
CREATE TABLE plain_counter (LIKE costs_budgetcounter INCLUDING ALL);
"""
_COUNTER = """
INSERT INTO plain_counter (id, created_at, tenant_id, budget_id, period_start, spent, held)
VALUES (%s, now(), %s, %s, now(), 0, 0)
"""
_RAISE = "UPDATE plain_counter SET spent = spent + %s WHERE id = %s"
_ENTER = """
INSERT INTO plain_entry (id, tenant_id, occurred_at, generation_id, attempt, provider, model, task_kind,
    account_id, campaign_id, user_id, price_id, input_tokens, cached_tokens, output_tokens, amount)
VALUES (%s, %s, %s, %s, 1, %s, %s, %s, %s, %s, %s, 1, 700, 100, 120, %s)
"""
_AMOUNT = Decimal("0.0001695")
_BUDGETS = 3


class Plain:
    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._counters: dict[UUID, list[UUID]] = {}

    def prepare(self) -> None:
        with self._pool.connection() as connection:
            connection.execute(_TABLES)
            for tenant_id in [uuid4() for _ in range(TENANTS)]:
                self._counters[tenant_id] = sorted(uuid4() for _ in range(_BUDGETS))
                for counter_id in self._counters[tenant_id]:
                    connection.execute(_COUNTER, [counter_id, tenant_id, uuid4()])

    def enter(self, number: int) -> None:
        tenant_id = list(self._counters)[number % TENANTS]
        with self._pool.connection() as connection, connection.pipeline():
            for counter_id in self._counters[tenant_id]:
                connection.execute(_RAISE, [_AMOUNT, counter_id])
            ids = [number, tenant_id, datetime.now(UTC), uuid4()]
            names = [PROVIDER, MODEL, KIND]
            connection.execute(_ENTER, [*ids, *names, tenant_id, tenant_id, tenant_id, _AMOUNT])

    def spent(self) -> Decimal:
        with self._pool.connection() as connection:
            row = connection.execute("SELECT sum(spent) FROM plain_counter").fetchone()
        return row[0] if row else Decimal(0)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.peers.plain_settlement", description=__doc__
    )
    parser.add_argument("url")
    parser.add_argument("entries", type=int)
    given = parser.parse_args()
    with (
        ConnectionPool(given.url, min_size=THREADS, kwargs={"dbname": "huntaze"}) as pool,
        ThreadPoolExecutor(THREADS) as threads,
    ):
        plain = Plain(pool)
        plain.prepare()
        began = time.perf_counter()
        list(threads.map(plain.enter, range(given.entries)))
        rate = given.entries / (time.perf_counter() - began)
        if plain.spent() != _BUDGETS * given.entries * _AMOUNT:
            sys.exit("the counters are not what was entered")
    sys.stdout.write(f"{rate}\n")


if __name__ == "__main__":
    main()
