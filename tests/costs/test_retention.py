"""Months of the ledger that have served their time: dropped as a whole, if nobody misses anything."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from threading import Barrier, Event
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.db import DatabaseError, connection, connections
from django.utils import timezone as clock

from apps.common.ids import first_id_of, uuid7
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.costs.services import retention, rollups
from apps.costs.services.partitions import ensure_ledger_partitions
from apps.costs.services.retention import Forgotten, forget, kept_since
from apps.costs.services.rollups import NotKeptError
from apps.operations.models import JobRun
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tasks.costs import forget_old_entries
from tests.costs.rolled import KINDS, another_connection, enter, insert, rolled_up, row
from tests.costs.test_ledger import partitions
from tests.costs.threads import at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

# With 36 months, March 2020 is the first that is kept.
NOW = datetime(2023, 3, 10, tzinfo=UTC)
JANUARY, FEBRUARY, MARCH = (f"costs_ledgerentry_2020_{month:02}" for month in (1, 2, 3))


@pytest.fixture(autouse=True)
def _months_of_2020() -> Iterator[None]:
    ensure_ledger_partitions(today=date(2020, 2, 1))
    yield
    with psycopg.connect(configured.DATABASE_OWNER_URL) as owner:
        for name in partitions():
            if name.startswith("costs_ledgerentry_2020_"):
                owner.execute(f"DROP TABLE {name}")


@pytest.fixture
def old(agency: Tenant, price_id: int) -> list[dict[str, Any]]:
    """An entry of each month, rolled up: the first two have served their time."""
    entries = [
        row(agency, price_id, occurred_at=datetime(2020, month, day, 23, 59, 59, tzinfo=UTC))
        for month, day in ((1, 1), (2, 29), (3, 1))
    ]
    enter(*entries)
    rollups.roll_up()
    return entries


def forgotten() -> Forgotten:
    return forget(now=NOW, months=36)


def months() -> list[int]:
    with system_transaction():
        return [each.occurred_at.month for each in LedgerEntry.objects.order_by("occurred_at")]


def hold(tenant: Tenant, price_id: int, made_at: datetime, state: HoldState) -> UUID:
    with system_transaction():
        return Hold.objects.create(
            id=UUID(int=first_id_of(made_at).int + uuid7().int % 2**74),
            tenant_id=tenant.pk,
            generation_id=uuid7(),
            attempt=1,
            price_id=price_id,
            provider="openai",
            model="gpt-3.5-turbo",
            task_kind="message",
            bound=Decimal(1),
            occurred_at=made_at,
            expires_at=made_at + timedelta(minutes=1),
            state=state,
            ended_at=None if state == HoldState.HELD else made_at,
        ).pk


def holds() -> set[UUID]:
    with system_transaction():
        return set(Hold.objects.values_list("pk", flat=True))


def test_whole_months_are_dropped_and_the_roll_ups_still_have_them(
    agency: Tenant, old: list[dict[str, Any]]
) -> None:
    before = {kind: rolled_up(kind, [agency.pk]) for kind in KINDS}

    assert forgotten() == Forgotten([JANUARY, FEBRUARY], 0)

    assert months() == [3]
    assert not {JANUARY, FEBRUARY} & partitions()
    assert MARCH in partitions()
    assert {kind: rolled_up(kind, [agency.pk]) for kind in KINDS} == before
    assert all(len(sums) == 3 for sums in before.values())
    assert forgotten() == Forgotten([], 0)


def test_what_is_gone_can_not_be_recomputed_and_what_is_left_can(
    agency: Tenant, old: list[dict[str, Any]]
) -> None:
    before = rolled_up("costs_dayrollup", [agency.pk])
    forgotten()

    with pytest.raises(NotKeptError, match="2020-03-01"):
        rollups.recompute(since=date(2020, 2, 28), until=date(2020, 3, 31))
    rollups.recompute()

    assert rolled_up("costs_dayrollup", [agency.pk]) == before


def test_a_month_that_is_not_rolled_up_waits(
    agency: Tenant, price_id: int, old: list[dict[str, Any]]
) -> None:
    enter(row(agency, price_id, occurred_at=datetime(2020, 2, 3, tzinfo=UTC)))

    first = forgotten()
    rollups.roll_up()
    second = forgotten()

    assert (first, second) == (Forgotten([JANUARY], 0, "not rolled up"), Forgotten([FEBRUARY], 0))


def test_those_after_it_wait_too_so_that_there_is_no_gap(
    agency: Tenant, price_id: int, old: list[dict[str, Any]]
) -> None:
    enter(row(agency, price_id, occurred_at=datetime(2020, 1, 3, tzinfo=UTC)))
    assert forgotten() == Forgotten([], 0, "not rolled up")
    assert months() == [1, 1, 2, 3]


def test_entries_of_an_older_generation_are_rolled_up(agency: Tenant, old: list[dict[str, Any]]) -> None:
    rollups.raise_ledger_generation()
    assert forgotten().partitions == [JANUARY, FEBRUARY]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM costs_ledgerentry WHERE occurred_at < '2020-01-05'",
        "SELECT FROM costs_rollupwatermark FOR UPDATE",
    ],
)
def test_whoever_reads_is_not_disturbed_and_does_not_keep_others_from_writing(
    agency: Tenant, price_id: int, old: list[dict[str, Any]], statement: str
) -> None:
    with another_connection() as reader:
        reader.execute(statement)

        assert forgotten() == Forgotten([], 0, "busy")
        enter(row(agency, price_id, occurred_at=datetime(2020, 3, 3, tzinfo=UTC)))
        assert months() == [1, 2, 3, 3]

    assert forgotten().partitions == [JANUARY, FEBRUARY]


def test_whoever_changes_prices_puts_a_month_off_at_most(agency: Tenant, old: list[dict[str, Any]]) -> None:
    """What points at prices may lock them when it goes."""
    with another_connection() as operator:
        operator.execute("LOCK TABLE costs_price IN ROW EXCLUSIVE MODE")
        assert forgotten().waits in ("", "busy")

    forgotten()
    assert months() == [3]


def test_an_entry_that_is_being_written_is_not_lost(
    agency: Tenant, price_id: int, old: list[dict[str, Any]]
) -> None:
    late = row(agency, price_id, occurred_at=datetime(2020, 1, 3, tzinfo=UTC))
    with another_connection() as writer:
        insert(writer, late)
        assert forgotten() == Forgotten([], 0, "busy")

    assert forgotten() == Forgotten([], 0, "not rolled up")
    rollups.roll_up()
    assert forgotten().partitions == [JANUARY, FEBRUARY]
    assert len(rolled_up("costs_dayrollup", [agency.pk])) == 4


def test_a_run_waits_a_moment_for_the_lock_and_a_writer_behind_it_as_long(
    agency: Tenant, price_id: int, old: list[dict[str, Any]]
) -> None:
    """A reader holds the ledger; a run queues for it, and so does a writer behind the run."""
    march = row(agency, price_id, occurred_at=datetime(2020, 3, 3, tzinfo=UTC))

    def work(index: int) -> object:
        if index == 0:
            run = forgotten()
            ended.set()
            return run
        with psycopg.connect(configured.DATABASE_OWNER_URL, options="-c lock_timeout=10s") as writer:
            wait_until(lambda: waiting() or ended.is_set(), seconds=10, what="the run to wait")
            insert(writer, march)
        return "written"

    def waiting() -> bool:
        with another_connection() as watcher:
            found = watcher.execute(
                "SELECT FROM pg_locks WHERE NOT granted AND relation = 'costs_ledgerentry'::regclass"
            )
            return found.fetchone() is not None

    ended = Event()
    with another_connection() as reader:
        reader.execute("SELECT count(*) FROM costs_ledgerentry")
        found = at_once(2, work)

    assert found == [Forgotten([], 0, "busy"), "written"]


def test_a_call_that_is_still_held_keeps_its_month(
    agency: Tenant, price_id: int, old: list[dict[str, Any]]
) -> None:
    pk = hold(agency, price_id, datetime(2020, 2, 3, tzinfo=UTC), HoldState.HELD)

    assert forgotten() == Forgotten([JANUARY], 0, "held")
    with system_transaction():
        Hold.objects.filter(pk=pk).update(state=HoldState.RELEASED, ended_at=clock.now())
    assert forgotten() == Forgotten([FEBRUARY], 1)


def test_holds_that_have_ended_go_with_their_months(
    agency: Tenant, stranger: Tenant, price_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    last = datetime(2020, 2, 29, 23, 59, 59, 999000, tzinfo=UTC)
    for number, tenant in enumerate([agency, stranger, agency, stranger, agency]):
        state = HoldState.RELEASED if number % 2 else HoldState.SETTLED
        hold(tenant, price_id, last - timedelta(days=number * 20), state)
    held = hold(agency, price_id, last, HoldState.HELD)
    kept = {
        hold(agency, price_id, last + timedelta(milliseconds=1), HoldState.SETTLED),
        hold(agency, price_id, clock.now(), HoldState.SETTLED),
    }

    # February waits, and its estimates can be corrected by its holds.
    assert forgotten() == Forgotten([JANUARY], 3, "held")
    assert len(holds()) == 5
    with system_transaction():
        Hold.objects.filter(pk=held).update(state=HoldState.SETTLED, ended_at=clock.now())
    assert forgotten() == Forgotten([FEBRUARY], 3)
    assert holds() == kept


def test_a_run_takes_so_many_holds_at_most(
    agency: Tenant, price_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    monkeypatch.setattr(retention, "AT_MOST", 4)
    for day in range(1, 6):
        hold(agency, price_id, datetime(2020, 1, day, tzinfo=UTC), HoldState.SETTLED)
    assert (forgotten().holds, forgotten().holds) == (4, 1)


def test_runs_at_once_drop_each_month_once(old: list[dict[str, Any]]) -> None:
    later = datetime(2023, 6, 10, tzinfo=UTC)

    connected = Barrier(6)

    def run(_: int) -> Forgotten:
        connection.ensure_connection()
        connected.wait()
        return forget(now=later, months=36)

    found = at_once(6, run)

    dropped = [name for each in found for name in each.partitions]
    dropped += forget(now=later, months=36).partitions
    assert sorted(dropped) == [f"costs_ledgerentry_2020_{month:02}" for month in range(1, 6)]


@pytest.mark.parametrize("since", ["date_trunc('month', now())", "'infinity'", "NULL"])
def test_the_database_keeps_the_present_month_and_the_one_before(since: str) -> None:
    before = partitions()
    with (
        pytest.raises(DatabaseError, match="always kept"),
        system_transaction(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT drop_oldest_ledger_partition({since}::date)")
    assert partitions() == before


def test_tenants_drop_nothing(agency: Tenant) -> None:
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        tenant_transaction(agency),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT drop_oldest_ledger_partition('2020-03-01')")


def test_nothing_is_dropped_where_all_is_kept(old: list[dict[str, Any]]) -> None:
    assert forget(now=NOW, months=0) == Forgotten([], 0)
    assert months() == [1, 2, 3]
    with pytest.raises(ValueError, match="0 or 2 at least"):
        forget(now=NOW, months=1)


@pytest.mark.parametrize(
    ("now", "keep", "since"),
    [
        (datetime(2026, 11, 29, tzinfo=UTC), 36, date(2023, 11, 1)),
        (datetime(2026, 1, 31, tzinfo=UTC), 2, date(2025, 11, 1)),
        (datetime(2026, 12, 31, tzinfo=UTC), 12, date(2025, 12, 1)),
        (datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), 2, date(2025, 12, 1)),
    ],
)
def test_months_are_those_of_utc(now: datetime, keep: int, since: date) -> None:
    assert kept_since(now=now, months=keep) == since


def test_the_job_keeps_as_many_months_as_are_configured_and_runs_once_in_six_hours(
    old: list[dict[str, Any]], settings: Any
) -> None:
    today = clock.now().astimezone(UTC)
    settings.LEDGER_RETENTION = (today.year - 2020) * 12 + today.month - 2  # January is older

    forget_old_entries()
    settings.LEDGER_RETENTION = 2
    forget_old_entries()

    assert months() == [2, 3]
    with system_transaction():
        run = JobRun.objects.get(job="tasks.costs.forget_old_entries")
    assert (run.state, run.attempts) == ("done", 1)


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_the_migrations_of_prices_currencies_and_retention_can_be_undone_and_done_again(
    old: list[dict[str, Any]],
) -> None:
    call_command("migrate", "costs", "0006", verbosity=0)
    call_command("migrate", verbosity=0)
    connections["default"].close()
    assert forgotten().partitions == [JANUARY, FEBRUARY]
