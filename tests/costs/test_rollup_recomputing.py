"""Roll-ups that are made anew: a range, another calendar, a restored database."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs.models import LedgerEntry
from apps.costs.rollup_statements import KEPT_SINCE
from apps.costs.services import rollups
from apps.costs.services.budgets import change_time_zone
from apps.costs.services.rollups import NotKeptError, RestoredLedgerError
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.rolled import (
    KINDS,
    another_connection,
    enter,
    expected,
    held,
    insert,
    rolled_up,
    row,
    spoil,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]


def test_recomputing_heals_what_is_wrong_and_removes_what_has_no_entries(
    agency: Tenant, stranger: Tenant, price_id: int
) -> None:
    entries = [row(agency, price_id), row(stranger, price_id)]
    enter(*entries)
    rollups.roll_up()
    spoil("UPDATE {} SET amount = amount + 5")
    spoil("UPDATE {} SET model = 'never asked' WHERE tenant_id = %s", stranger.pk, having="model")
    spoil("UPDATE {} SET user_id = %s WHERE tenant_id = %s", uuid7(), stranger.pk, having="user_id")

    rollups.recompute(since=date(2026, 5, 5), until=date(2026, 5, 5), tenant_id=agency.pk)
    strange = rolled_up("costs_dayrollup", [stranger.pk])
    rollups.recompute(since=date(2026, 5, 1), until=date(2026, 5, 31))

    assert [key[3] for key in strange] == ["never asked"]
    zones = {tenant.pk: "UTC" for tenant in (agency, stranger)}
    for kind in KINDS:
        assert rolled_up(kind, zones, with_tail=False) == expected(kind, entries, zones)


def test_a_range_that_the_ledger_no_longer_has_is_refused(agency: Tenant, price_id: int) -> None:
    with pytest.raises(NotKeptError, match="first day that is there as a whole") as refused:
        rollups.recompute(since=date(2020, 1, 1), until=date(2026, 5, 5))
    assert "from" in refused.value.fields
    with pytest.raises(CommandError, match="kept from"):
        call_command("recompute_rollups", "--from", "2020-01-01", "--to", "2026-05-05")
    for option in ("--from", "--to"):
        with pytest.raises(CommandError, match="'foo' is no day: give one as 2026-03-14"):
            call_command("recompute_rollups", option, "foo")
    with pytest.raises(CommandError, match="ends before it begins"):
        call_command("recompute_rollups", "--from", "2026-05-05", "--to", "2026-05-04")


def test_the_command_recomputes_one_tenant(agency: Tenant, price_id: int) -> None:
    enter(row(agency, price_id))
    rollups.roll_up()
    spoil("DELETE FROM {}")

    call_command("recompute_rollups", "--from", "2026-05-01", "--tenant", agency.name, verbosity=0)

    assert len(held(agency, "costs_monthrollup")) == 1
    with pytest.raises(CommandError, match="no tenant"):
        call_command("recompute_rollups", "--tenant", "nobody's")


def test_what_began_before_the_ledger_stays_and_no_cent_of_it_is_lost_or_doubled(price_id: int) -> None:
    oldest = _kept_since()
    eastern = factories.tenant(time_zone="Europe/Berlin")
    # In Berlin the ledger begins in a day's second hour: of that day and month an hour may be gone.
    end_of_month = (oldest + timedelta(days=32)).replace(day=1) - timedelta(minutes=61)
    instants = [oldest, oldest + timedelta(hours=22, minutes=59), end_of_month]
    entries = [row(eastern, price_id, occurred_at=at) for at in instants] + [row(eastern, price_id)]
    enter(*entries)
    rollups.roll_up()
    spoil("UPDATE {} SET amount = amount + 5 WHERE tenant_id = %s", eastern.pk)

    def totals() -> list[Decimal]:
        return [sum(sums[-1] for sums in rolled_up(kind, [eastern.pk]).values()) for kind in KINDS]

    rollups.recompute()

    # The fives of rows that can't be made anew, as if of entries that are gone: two hours, a day, a month.
    whole = sum(entry["amount"] for entry in entries)
    kept = [whole + (10 if "hour" in kind else 5) for kind in KINDS]
    assert totals() == kept
    for zone in ("Asia/Kolkata", "America/New_York", "UTC"):
        change_time_zone(tenant=eastern, time_zone=zone, now=timezone.now())
        assert totals() == kept


def test_a_moved_tenant_is_rolled_up_by_its_new_calendar(agency: Tenant, price_id: int) -> None:
    evening = row(agency, price_id, occurred_at=datetime(2026, 4, 30, 23, tzinfo=UTC))
    enter(evening)
    rollups.roll_up()

    change_time_zone(tenant=agency, time_zone="Europe/Berlin", now=timezone.now())

    for kind in KINDS:
        moved = rolled_up(kind, [agency.pk], with_tail=False)
        assert moved == expected(kind, [evening], {agency.pk: "Europe/Berlin"})
    assert [key[1] for key in rolled_up("costs_monthrollup", [agency.pk])] == [date(2026, 5, 1)]


def test_after_a_restore_runs_refuse_until_the_generation_is_raised(agency: Tenant, price_id: int) -> None:
    # As if the dump had been of a database whose transactions were numbered far higher.
    far = 2**40
    settled, missed, fresh = (row(agency, price_id) for _ in range(3))
    enter(settled)
    rollups.roll_up()
    with another_connection() as other:
        insert(other, missed)
        other.execute("UPDATE costs_rollupwatermark SET reached = %s::text::xid8", [str(far)])
    enter(fresh)
    with pytest.raises(RestoredLedgerError, match="raise_ledger_generation"):
        rollups.roll_up()
    before = rollups.watermark()

    call_command("raise_ledger_generation", verbosity=0)
    later = row(agency, price_id)
    enter(later)
    with tenant_transaction(agency):
        assert LedgerEntry.objects.latest("id").ledger_generation == before.ledger_generation + 1
    rollups.roll_up()

    zones = {agency.pk: "UTC"}
    for kind in KINDS:
        held_now = rolled_up(kind, zones, with_tail=False)
        assert held_now == expected(kind, [settled, missed, fresh, later], zones)


def test_raising_the_generation_leaves_nothing_out_even_before_all_is_made_anew(
    agency: Tenant, price_id: int
) -> None:
    entries = [row(agency, price_id) for _ in range(3)]
    enter(entries[0])
    rollups.roll_up()
    enter(entries[1])

    rollups.raise_ledger_generation()
    enter(entries[2])

    for kind in KINDS:
        zones = {agency.pk: "UTC"}
        assert rolled_up(kind, zones, with_tail=False) == expected(kind, entries[:2], zones)
        assert rolled_up(kind, zones) == expected(kind, entries, zones)


def _kept_since() -> datetime:
    with system_transaction():
        found: datetime = rollups._ask(KEPT_SINCE)
    return found


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_the_narrow_roll_ups_are_filled_from_the_days_that_there_are(
    agency: Tenant, stranger: Tenant, price_id: int
) -> None:
    days = [datetime(2026, 5, day, 12, tzinfo=UTC) for day in (5, 5, 6)]
    entries = [row(each, price_id, occurred_at=at) for each in (agency, stranger) for at in days]
    entries += [row(agency, price_id, model="gpt-4o"), row(agency, price_id, user_id=uuid7())]
    enter(*entries)
    rollups.roll_up()

    call_command("migrate", "costs", "0007", verbosity=0)
    call_command("migrate", verbosity=0)
    connections["default"].close()

    zones = {tenant.pk: "UTC" for tenant in (agency, stranger)}
    for kind in KINDS:
        assert rolled_up(kind, zones, with_tail=False) == expected(kind, entries, zones)
