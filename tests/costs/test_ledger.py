from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs.models import LedgerEntry, Price
from apps.costs.services import holds
from apps.costs.services.partitions import ensure_ledger_partitions
from apps.operations.models import JobRun
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tasks.costs import ensure_ledger_partitions as daily_job
from tests import factories
from tests.costs.spending import dollar_price, dollars, entries, take

pytestmark = pytest.mark.django_db(transaction=True)


def enter(tenant: Tenant, price: Price, **fields: Any) -> LedgerEntry:
    defaults = {
        "occurred_at": timezone.now(),
        "generation_id": uuid7(),
        "tenant_id": tenant.pk,
        "attempt": 1,
        "input_tokens": 10,
        "output_tokens": 5,
        "amount": Decimal("0.01"),
        "provider": "openai",
        "model": "gpt-3.5-turbo",
        "task_kind": "message",
    }
    with tenant_transaction(tenant):
        return LedgerEntry.objects.create(price=price, **{**defaults, **fields})


def partitions() -> set[str]:
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        rows = owner.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'costs_ledgerentry'::regclass"
        ).fetchall()
    return {name for (name,) in rows}


def month_of(day: date) -> str:
    return f"costs_ledgerentry_{day:%Y_%m}"


@pytest.fixture
def price() -> Price:
    return factories.price()


def test_the_migration_makes_the_last_month_to_three_months_ahead() -> None:
    made = MigrationRecorder.Migration.objects.get(app="costs", name="0002_ledger").applied.date()
    first = (made.replace(day=1) - timedelta(days=1)).replace(day=1)
    wanted = {month_of((first + timedelta(days=31 * step)).replace(day=1)) for step in range(5)}

    assert wanted <= partitions()


@pytest.mark.parametrize(
    ("statement", "role"),
    [
        (statement, role)
        for statement in (
            "UPDATE costs_ledgerentry SET amount = 0",
            "DELETE FROM costs_ledgerentry",
            "TRUNCATE costs_ledgerentry",
        )
        for role in ("tenant", "system")
    ],
)
def test_an_entry_is_never_changed(agency: Tenant, price: Price, statement: str, role: str) -> None:
    enter(agency, price)
    door = tenant_transaction(agency) if role == "tenant" else system_transaction()

    with pytest.raises(ProgrammingError, match="permission denied"), door, connection.cursor() as cursor:
        cursor.execute(statement)

    assert len(entries(agency)) == 1


def test_entries_are_seen_by_their_tenant_and_by_the_system(
    agency: Tenant, stranger: Tenant, price: Price
) -> None:
    enter(agency, price)

    assert len(entries(agency)) == 1
    assert entries(stranger) == []
    with system_transaction():
        assert LedgerEntry.objects.count() == 1


def test_nobody_enters_anything_for_another_tenant(agency: Tenant, stranger: Tenant, price: Price) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        enter(agency, price, tenant_id=stranger.pk)


@pytest.mark.parametrize("role", ["tenant", "system"])
@pytest.mark.parametrize("statement", ["SELECT count(*) FROM {}", "DELETE FROM {}"])
def test_a_partition_can_not_be_reached_past_the_ledger(
    agency: Tenant, price: Price, statement: str, role: str
) -> None:
    partition = month_of(timezone.now().date())
    door = tenant_transaction(agency) if role == "tenant" else system_transaction()

    with pytest.raises(ProgrammingError, match="permission denied"), door, connection.cursor() as cursor:
        cursor.execute(statement.format(partition))


@pytest.mark.parametrize(
    "fields",
    [
        {"input_tokens": -1},
        {"cached_tokens": 11},
        {"cached_tokens": -1},
        {"output_tokens": -1},
        {"amount": Decimal("-0.01")},
        {"attempt": 0},
        {"sequence": -1},
    ],
)
def test_an_entry_that_can_not_be_is_refused(agency: Tenant, price: Price, fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="ledgerentry_"):
        enter(agency, price, **fields)


def test_a_correction_may_take_back(agency: Tenant, price: Price) -> None:
    assert enter(agency, price, sequence=1, amount=Decimal("-0.01")).amount < 0


def test_an_attempt_is_entered_once(agency: Tenant, price: Price) -> None:
    entry = enter(agency, price)
    same = {"occurred_at": entry.occurred_at, "generation_id": entry.generation_id}

    with pytest.raises(IntegrityError, match=r"duplicate key.*_call"):
        enter(agency, price, **same)

    enter(agency, price, **same, attempt=2)
    enter(agency, price, **same, sequence=1)


def test_an_entry_knows_the_transaction_that_wrote_it(agency: Tenant, price: Price) -> None:
    with tenant_transaction(agency), connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        (txid,) = cursor.fetchone()
        entry = enter(agency, price)
        cursor.execute("SELECT txid::text FROM costs_ledgerentry WHERE id = %s", [entry.pk])
        assert cursor.fetchone() == (txid,)


def test_a_month_without_a_partition_is_refused_until_it_is_made(agency: Tenant, price: Price) -> None:
    far = datetime(2031, 7, 31, 23, 59, 59, 999999, tzinfo=UTC)
    with pytest.raises(IntegrityError, match="no partition"):
        enter(agency, price, occurred_at=far)

    assert ensure_ledger_partitions(today=date(2031, 4, 30)) == 5
    assert ensure_ledger_partitions(today=date(2031, 4, 30)) == 0

    enter(agency, price, occurred_at=far)
    enter(agency, price, occurred_at=datetime(2031, 3, 1, tzinfo=UTC))
    assert {f"costs_ledgerentry_2031_{month:02}" for month in range(3, 8)} <= partitions()


def test_a_new_partition_has_the_indexes_of_the_others_and_all_are_whole(agency: Tenant) -> None:
    ensure_ledger_partitions(today=date(2034, 4, 30))

    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        found = owner.execute(
            "SELECT relid::regclass::text, count(*), bool_and(indisvalid)"
            " FROM pg_partition_tree('costs_ledgerentry') JOIN pg_index ON indrelid = relid GROUP BY relid"
        ).fetchall()
    assert "costs_ledgerentry_2034_04" in {name for name, _, _ in found}
    assert {(number, whole) for _, number, whole in found} == {(5, True)}


def test_a_new_partition_is_as_closed_as_the_first(agency: Tenant, price: Price) -> None:
    ensure_ledger_partitions(today=date(2032, 4, 30))

    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        system_transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT count(*) FROM costs_ledgerentry_2032_04")


def test_only_the_system_makes_partitions_and_not_without_end(agency: Tenant) -> None:
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        tenant_transaction(agency),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT ensure_ledger_partitions('2033-01-01', 1)")
    with pytest.raises(DatabaseError, match="months"), system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT ensure_ledger_partitions('2033-01-01', 100000)")


def test_the_daily_job_runs_once_a_day() -> None:
    daily_job()
    daily_job()

    with system_transaction():
        run = JobRun.objects.get(job="tasks.costs.ensure_ledger_partitions")
    assert (run.state, run.attempts) == ("done", 1)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_the_ledgers_migration_can_be_undone_and_done_again(agency: Tenant) -> None:
    call_command("migrate", "costs", "0001", verbosity=0)
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        left = owner.execute("SELECT to_regclass('costs_ledgerentry')").fetchone()
    call_command("migrate", verbosity=0)
    connections["default"].close()

    assert left == (None,)
    dollar_price()
    holds.settle(hold=take(agency, 1), usage=dollars(1), now=timezone.now())
    assert len(entries(agency)) == 1
