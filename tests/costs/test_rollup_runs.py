"""Who may write the roll-ups, who waits for whom, and what each run takes in."""

from decimal import Decimal
from threading import Event, Thread
from typing import Any

import pytest
from django.db import ProgrammingError, connection
from django.utils import timezone

from apps.costs.services import holds, rollups
from apps.costs.services.rollups import Watermark
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app, from_settings
from tasks.costs import roll_up_ledger
from tests import factories
from tests.costs.rolled import (
    KINDS,
    another_connection,
    enter,
    held,
    insert,
    rolled_up,
    row,
)
from tests.costs.spending import dollar_price, dollars, take
from tests.costs.threads import a_lock_is_waited_for, at_once
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]


def test_a_run_takes_in_what_was_settled_and_a_second_one_adds_nothing(agency: Tenant) -> None:
    dollar_price()
    for cost in (3, 4):
        holds.settle(hold=take(agency, 10), usage=dollars(cost), now=timezone.now())
    holds.settle(hold=take(agency, 9), usage=None, now=timezone.now())

    assert held(agency) == []
    for _ in range(2):
        roll_up_ledger()
        assert held(agency) == [[3, 1, 7, 0, 0, Decimal(16)]]


def test_what_commits_after_a_run_that_passed_it_is_taken_in_by_the_next(
    agency: Tenant, price_id: int
) -> None:
    early, late = row(agency, price_id, amount=Decimal(1)), row(agency, price_id, amount=Decimal(2))
    with another_connection() as other:
        insert(other, late)
        enter(early)
        rollups.roll_up()
        before = rolled_up("costs_dayrollup", [agency.pk])
        other.commit()
        rollups.roll_up()

    assert [sums[-1] for sums in before.values()] == [Decimal(1)]
    assert [sums[-1] for sums in held(agency)] == [Decimal(3)]


def test_what_commits_in_the_middle_of_a_run_is_left_to_the_next(agency: Tenant, price_id: int) -> None:
    fold = rollups._fold
    enter(row(agency, price_id))
    with another_connection() as other:
        insert(other, row(agency, price_id))

        def commit_and_fold(*args: Any, **options: Any) -> None:
            other.commit()
            fold(*args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rollups, "_fold", commit_and_fold)
            rollups.roll_up()
    between = rolled_up("costs_dayrollup", [agency.pk])
    rollups.roll_up()

    assert [sums[0] for sums in between.values()] == [2]
    assert [sums[0] for sums in held(agency)] == [2]


def test_beat_sends_runs_to_the_queue_of_costs() -> None:
    entry = from_settings.beat_schedule["costs.rollups"]
    route = app.amqp.router.route({}, entry["task"])

    assert entry["schedule"].total_seconds() == 60
    assert route["queue"].name == "costs"


def test_four_runs_at_once_count_everything_once(agency: Tenant, price_id: int) -> None:
    for number in range(5):
        entries = [row(agency, price_id) for _ in range(number + 1)]
        enter(*entries)
        at_once(4, lambda _: rollups.roll_up())
    rollups.roll_up()

    assert held(agency)[0][0] == 15


def test_a_run_leaves_the_roll_ups_to_whoever_is_at_them(agency: Tenant, price_id: int) -> None:
    enter(row(agency, price_id))
    with another_connection() as other:
        other.execute("SELECT FROM costs_rollupwatermark FOR UPDATE")
        assert not rollups.roll_up()
    assert held(agency) == []
    assert rollups.roll_up()


def test_a_recomputation_waits_for_a_run_and_takes_no_entry_twice(agency: Tenant, price_id: int) -> None:
    enter(row(agency, price_id))
    inside, go_on = Event(), Event()
    move = rollups._move_watermark

    def dawdle(mark: Watermark) -> None:
        move(mark)
        inside.set()
        assert go_on.wait(20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollups, "_move_watermark", dawdle)
        runs = [_thread(rollups.roll_up), _thread(rollups.recompute)]
        runs[0].start()
        assert inside.wait(20)
        runs[1].start()
        _wait_for_a_lock()
        go_on.set()
        for each in runs:
            each.join(20)

    assert [sums[0] for sums in held(agency)] == [1]


def test_a_zone_that_postgresql_does_not_know_keeps_nobodys_entries_out(
    agency: Tenant, price_id: int
) -> None:
    factories.tenant(time_zone="Mars/Olympus")
    enter(row(agency, price_id))

    assert rollups.roll_up()

    assert len(held(agency)) == 1


@pytest.mark.parametrize("table", [*KINDS, "costs_rollupwatermark"])
def test_tenants_only_read_the_roll_ups(agency: Tenant, table: str) -> None:
    for statement in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES"):
        with (
            pytest.raises(ProgrammingError, match="permission denied"),
            tenant_transaction(agency),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement.format(table))


@pytest.mark.parametrize("table", KINDS)
def test_a_tenant_sees_its_own_roll_ups_and_tail_alone(
    agency: Tenant, stranger: Tenant, price_id: int, table: str
) -> None:
    enter(row(agency, price_id))
    rollups.roll_up()
    enter(row(agency, price_id))

    statement = "SELECT (SELECT count(*) FROM {}), count(*) FROM costs_ledger_tail(NULL, NULL, NULL)"

    def counted() -> tuple[int, ...]:
        with connection.cursor() as cursor:
            cursor.execute(statement.format(table))
            found: tuple[int, ...] = cursor.fetchone()
            return found

    with tenant_transaction(agency):
        assert counted() == (1, 1)
    with tenant_transaction(stranger):
        assert counted() == (0, 0)
    with system_transaction():
        assert counted() == (1, 1)


def _thread(work: Any) -> Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return Thread(target=run, daemon=True)


def _wait_for_a_lock() -> None:
    wait_until(a_lock_is_waited_for, seconds=20, what="a lock to be waited for", every=0.05)
