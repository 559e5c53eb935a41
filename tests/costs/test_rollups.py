"""That the roll-ups and the ledger's tail are the ledger, whatever happens to those who make them."""

from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.common.ids import uuid7
from apps.costs.services import rollups
from apps.costs.services.budgets import change_time_zone
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.rolled import (
    KINDS,
    Connection,
    another_connection,
    correction,
    enter,
    expected,
    insert,
    rolled_up,
    row,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]
# Where clocks change (Lord Howe's by half an hour), and where days and months end.
TURNS = [
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 3, 31, 22, tzinfo=UTC),
    datetime(2026, 4, 1, 4, tzinfo=UTC),
    datetime(2026, 4, 30, 18, 30, tzinfo=UTC),
]
instants = st.builds(
    lambda turn, minutes: turn + timedelta(minutes=minutes, microseconds=minutes),
    st.sampled_from(TURNS),
    st.integers(-150, 150),
)
amounts = st.decimals(0, 10, places=10)
days = st.dates(date(2026, 3, 2), date(2026, 11, 30))
_ACCOUNTS = [None, uuid7(), uuid7()]


class KilledError(Exception):
    pass


class Ledger(RuleBasedStateMachine):
    """Entries come, late and corrected, while runs and recomputations succeed, repeat and fail."""

    price_id: int

    def __init__(self) -> None:
        super().__init__()
        self.tenants = [factories.tenant(time_zone=zone) for zone in ZONES[:3]]
        self.zones = {tenant.pk: tenant.time_zone for tenant in self.tenants}
        self.committed: list[dict[str, Any]] = []
        self.open: list[tuple[Connection, list[dict[str, Any]]]] = []
        self.cleanup = ExitStack()

    def teardown(self) -> None:
        self.open.clear()
        self.cleanup.close()

    def make(self, data: st.DataObject) -> dict[str, Any]:
        return row(
            data.draw(st.sampled_from(self.tenants)),
            self.price_id,
            occurred_at=data.draw(instants),
            amount=data.draw(amounts),
            estimated=data.draw(st.booleans()),
            account_id=data.draw(st.sampled_from(_ACCOUNTS)),
            model=data.draw(st.sampled_from(["gpt-4o", "gpt-3.5-turbo"])),
        )

    @rule(data=st.data())
    def an_entry_comes(self, data: st.DataObject) -> None:
        entry = self.make(data)
        enter(entry)
        self.committed.append(entry)

    @rule(data=st.data())
    @precondition(lambda self: len(self.open) < 3)
    def an_entry_is_written_and_not_yet_committed(self, data: st.DataObject) -> None:
        other, entry = self.cleanup.enter_context(another_connection()), self.make(data)
        insert(other, entry)
        self.open.append((other, [entry]))

    @rule(data=st.data(), kept=st.booleans())
    @precondition(lambda self: self.open)
    def a_late_one_ends(self, data: st.DataObject, kept: bool) -> None:
        other, entries = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if kept:
            other.commit()
            self.committed += entries
        other.close()

    @rule(data=st.data(), amount=amounts)
    @precondition(lambda self: any(entry["estimated"] for entry in self.committed))
    def an_estimate_is_corrected(self, data: st.DataObject, amount: Decimal) -> None:
        entry = data.draw(st.sampled_from([each for each in self.committed if each["estimated"]]))
        corrected = correction(entry, amount=amount - entry["amount"])
        keys = {(each["generation_id"], each["sequence"]) for each in self.committed}
        assume((corrected["generation_id"], 1) not in keys)
        enter(corrected)
        self.committed.append(corrected)

    @rule(steps=st.integers(1, 4), times=st.integers(1, 2))
    def a_run(self, steps: int, times: int) -> None:
        for _ in range(times):
            with system_transaction():
                behind = rollups._settled_before() - rollups.watermark().txid
            # Other databases' transactions count too: it must get ahead of them.
            assert rollups.roll_up(step=max(behind // steps, 20))

    @rule(where=st.sampled_from(["_fold", "_move_watermark"]))
    def a_run_is_killed(self, where: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            real = getattr(rollups, where)

            def do_and_die(*args: Any, **options: Any) -> None:
                real(*args, **options)
                raise KilledError

            patch.setattr(rollups, where, do_and_die)
            with suppress(KilledError):
                rollups.roll_up()

    @rule(since=st.none() | days, until=st.none() | days, data=st.data())
    def a_range_is_recomputed(self, since: date | None, until: date | None, data: st.DataObject) -> None:
        if since and until:
            since, until = min(since, until), max(since, until)
        tenant_id = data.draw(st.none() | st.sampled_from([tenant.pk for tenant in self.tenants]))
        rollups.recompute(since=since, until=until, tenant_id=tenant_id)

    @rule(data=st.data(), zone=st.sampled_from(ZONES))
    def a_tenant_moves(self, data: st.DataObject, zone: str) -> None:
        tenant: Tenant = data.draw(st.sampled_from(self.tenants))
        change_time_zone(tenant=tenant, time_zone=zone, now=datetime(2026, 11, 1, tzinfo=UTC))
        self.zones[tenant.pk] = zone

    @rule()
    @precondition(lambda self: not self.open)
    def the_database_is_restored(self) -> None:
        rollups.raise_ledger_generation()

    @invariant()
    def roll_up_and_tail_are_the_ledger(self) -> None:
        for kind in KINDS:
            assert rolled_up(kind, self.zones) == expected(kind, self.committed, self.zones)

    @rule()
    @precondition(lambda self: not self.open)
    def nothing_is_left_over_when_nothing_is_open(self) -> None:
        rollups.roll_up()
        for kind in KINDS:
            assert rolled_up(kind, self.zones, with_tail=False) == expected(kind, self.committed, self.zones)


def test_the_roll_ups_and_the_tail_are_always_the_ledger(price_id: int) -> None:
    Ledger.price_id = price_id
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=25,
            stateful_step_count=15,
            suppress_health_check=list(HealthCheck),
        ),
    )
