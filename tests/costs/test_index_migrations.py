"""Migrations that make indexes while the tables are written to: none of them in one transaction."""

import pytest
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from psycopg.errors import QueryCanceled

from tests.costs.rolled import another_connection

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

DAYS = """
SELECT indisvalid, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = 'costs_dayrollup'::regclass ORDER BY relname
"""
INDEX = "SELECT indisvalid FROM pg_index WHERE indexrelid = '{}'::regclass"


def run_again(before: str, name: str) -> None:
    """As Django does where a migration was killed before it was recorded."""
    owner = connections["owner"]
    loader = MigrationLoader(owner)
    with owner.schema_editor(atomic=False) as editor:
        loader.get_migration("costs", name).apply(loader.project_state(("costs", before)), editor)


@pytest.mark.parametrize(
    ("index", "table", "column", "before", "name"),
    [
        (
            "budgetcounter_raised",
            "costs_budgetcounter",
            "raised_at",
            "0015_raised_counters",
            "0016_raised_counters_index",
        ),
        (
            "hold_above_bound",
            "costs_hold",
            "above_bound_at",
            "0024_usage_above_bound",
            "0025_usage_above_bound_index",
        ),
    ],
)
def test_an_index_that_was_left_half_made_is_made_anew(
    index: str, table: str, column: str, before: str, name: str
) -> None:
    with another_connection() as writer, another_connection() as owner:
        owner.autocommit = True
        owner.execute(f"DROP INDEX {index}")
        writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        owner.execute("SET statement_timeout = 100")
        with pytest.raises(QueryCanceled):
            owner.execute(f"CREATE INDEX CONCURRENTLY {index} ON {table} ({column})")
        writer.rollback()
        assert owner.execute(INDEX.format(index)).fetchall() == [(False,)]

        run_again(before, name)

        assert owner.execute(INDEX.format(index)).fetchall() == [(True,)]


def test_an_index_that_has_gone_may_be_dropped_again() -> None:
    run_again("0016_raised_counters_index", "0017_smaller_ledger")
    with another_connection() as owner:
        assert owner.execute("SELECT to_regclass('ledgerentry_attempt')").fetchone() == (None,)


def test_the_days_have_one_index_however_often_it_was_begun() -> None:
    with another_connection() as writer, another_connection() as owner:
        owner.autocommit = True
        before = owner.execute(DAYS).fetchall()
        writer.execute("LOCK TABLE costs_dayrollup IN ROW EXCLUSIVE MODE")
        owner.execute("SET statement_timeout = 100")
        with pytest.raises(QueryCanceled):
            owner.execute("CREATE INDEX CONCURRENTLY dayrollup_next ON costs_dayrollup (day)")
        writer.rollback()
        assert len(owner.execute(DAYS).fetchall()) == 2

        run_again("0021_lighter_counters", "0022_days_from_indexes")

        [(valid, definition)] = owner.execute(DAYS).fetchall()
    assert before == [(True, definition)]
    assert valid
    # One campaign's calls, whatever they were, are together.
    assert "UNIQUE INDEX dayrollup_once" in definition
    assert "(tenant_id, day, campaign_id," in definition
