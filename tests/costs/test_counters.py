"""Counters that are made anew, by another calendar or by switching a budget on: those of past periods too."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetPeriod, BudgetScope, Hold, HoldState
from apps.costs.periods import period_start
from apps.costs.services import holds, rollups
from apps.costs.services.budgets import change_budget, change_time_zone, create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests import factories
from tests.costs.bills import LATER, NOON, lose
from tests.costs.spending import dollars, entries, take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year", "dollar_prices")]

# In Athens, half an hour into the 15th.
LATE = datetime(2026, 5, 14, 21, 30, tzinfo=UTC)
Sums = dict[str, tuple[Decimal | int, Decimal | int]]


def by_period(tenant: Tenant) -> Sums:
    """What the counters of the tenant's only budget have spent and hold."""
    with tenant_transaction(tenant):
        return {str(each.period_start): (each.spent, each.held) for each in BudgetCounter.objects.all()}


def budget_of_days(tenant: Tenant, now: datetime = NOON, **fields: Any) -> Budget:
    return create_budget(tenant_id=tenant.pk, limit=Decimal(1000), period=BudgetPeriod.DAY, now=now, **fields)


@pytest.mark.parametrize("rolled_up", [True, False])
def test_a_correction_moves_the_counter_of_its_time_by_the_new_calendar(
    agency: Tenant, rolled_up: bool
) -> None:
    budget_of_days(agency)
    at_noon, late = lose(agency, 10, NOON), lose(agency, 20, LATE)
    lose(agency, 40, LATE + timedelta(hours=12))
    if rolled_up:
        rollups.roll_up()

    change_time_zone(tenant=agency, time_zone="Europe/Athens", now=LATER)
    assert by_period(agency) == {"2026-05-14": (10, 0), "2026-05-15": (60, 0), "2026-05-17": (0, 0)}
    holds.settle(hold=late, usage=dollars(1), now=LATER)
    assert by_period(agency) == {"2026-05-14": (10, 0), "2026-05-15": (41, 0), "2026-05-17": (0, 0)}
    holds.settle(hold=at_noon, usage=dollars(2), now=LATER)

    assert by_period(agency) == {"2026-05-14": (2, 0), "2026-05-15": (41, 0), "2026-05-17": (0, 0)}


def test_a_correction_moves_the_counter_of_its_time_after_the_budget_was_switched_off_and_on(
    agency: Tenant,
) -> None:
    budget = budget_of_days(agency)
    before = lose(agency, 10, NOON)
    change_budget(budget=budget, is_active=False, now=NOON)
    missed = lose(agency, 20, NOON + timedelta(days=1))
    change_budget(budget=budget, is_active=True, now=LATER)
    assert by_period(agency) == {"2026-05-14": (10, 0), "2026-05-15": (20, 0), "2026-05-17": (0, 0)}

    for hold in (before, missed):
        holds.settle(hold=hold, usage=dollars(3), now=LATER)

    assert by_period(agency) == {"2026-05-14": (3, 0), "2026-05-15": (3, 0), "2026-05-17": (0, 0)}


@pytest.mark.parametrize(
    ("zone_before", "zone", "at", "day"),
    [
        ("UTC", "America/Los_Angeles", datetime(2026, 5, 14, 0, 30, tzinfo=UTC), "2026-05-13"),
        # Clocks that are a day and an hour apart.
        ("Pacific/Kiritimati", "Pacific/Pago_Pago", datetime(2026, 5, 13, 10, 30, tzinfo=UTC), "2026-05-12"),
        ("UTC", "Europe/Athens", LATE, "2026-05-15"),
    ],
)
def test_a_correction_finds_its_counter_where_the_time_zone_was_changed_while_the_budget_was_off(
    agency: Tenant, zone_before: str, zone: str, at: datetime, day: str
) -> None:
    change_time_zone(tenant=agency, time_zone=zone_before, now=at)
    budget = budget_of_days(agency, now=at)
    estimate = lose(agency, 10, at)
    change_budget(budget=budget, is_active=False, now=LATER)
    before = by_period(agency)
    change_time_zone(tenant=agency, time_zone=zone, now=LATER)
    assert by_period(agency) == before  # switched off, its figures stay as they were

    change_budget(budget=budget, is_active=True, now=LATER)
    assert by_period(agency)[day] == (10, 0)
    holds.settle(hold=estimate, usage=dollars(3), now=LATER)

    assert by_period(agency)[day] == (3, 0)


@pytest.mark.parametrize("change", ["nothing", "zone", "switch"])
def test_a_call_of_a_day_just_over_weighs_on_that_day_until_it_ends(agency: Tenant, change: str) -> None:
    budget = budget_of_days(agency)
    before = NOON.replace(hour=23, minute=59, second=40)
    after = before + timedelta(seconds=40)
    live = take(agency, 10, now=before)
    take(agency, 5, now=after)
    assert by_period(agency) == {"2026-05-14": (0, 10), "2026-05-15": (0, 5)}
    if change == "zone":
        change_time_zone(tenant=agency, time_zone="Europe/Athens", now=after)
        assert by_period(agency) == {"2026-05-15": (0, 15)}
        change_time_zone(tenant=agency, time_zone="UTC", now=after)
    elif change == "switch":
        change_budget(budget=budget, is_active=False, now=after)
        change_budget(budget=budget, is_active=True, now=after)
    assert by_period(agency) == {"2026-05-14": (0, 10), "2026-05-15": (0, 5)}

    with tenant_transaction(agency):
        shown = Budget.objects.with_present(at=after).get().standing(at=after)
    assert shown.held == 5
    holds.settle(hold=live, usage=dollars(7), now=after)
    assert by_period(agency) == {"2026-05-14": (7, 0), "2026-05-15": (0, 5)}


def test_what_shadow_mode_has_counted_stays_where_it_was(agency: Tenant) -> None:
    budget_of_days(agency, mode=BudgetMode.SHADOW)
    hold = take(agency, 2000, now=NOON)
    holds.release(hold=hold, now=NOON)
    change_time_zone(tenant=agency, time_zone="Europe/Athens", now=LATER)
    with tenant_transaction(agency):
        found = {str(each.period_start): each.shadow_calls for each in BudgetCounter.objects.all()}
    assert found == {"2026-05-14": 1, "2026-05-17": 0}


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_was_changed_counters_are_what_the_ledger_and_live_holds_say(data: st.DataObject) -> None:
    tenant = factories.tenant()
    account = uuid7()
    scope: dict[str, Any] = data.draw(
        st.sampled_from([{}, {"scope": BudgetScope.ACCOUNT, "scope_id": account}])
    )
    period = data.draw(st.sampled_from(BudgetPeriod.values))
    budget = create_budget(
        tenant_id=tenant.pk,
        limit=Decimal(10**6),
        period=BudgetPeriod(period),
        now=NOON - timedelta(days=31),
        **scope,
    )
    estimates, now = [], NOON
    for _ in range(data.draw(st.integers(1, 12))):
        now += timedelta(minutes=data.draw(st.integers(0, 3 * 24 * 60)))
        match data.draw(st.sampled_from(["call", "call", "live", "correct", "zone", "switch", "roll up"])):
            case "call":
                whose = data.draw(st.sampled_from([account, None]))
                estimates.append(lose(tenant, data.draw(st.integers(1, 50)), now, account_id=whose))
            case "live":
                take(tenant, data.draw(st.integers(1, 50)), now=now, account_id=account)
            case "correct" if estimates:
                hold = estimates.pop(data.draw(st.integers(0, len(estimates) - 1)))
                holds.settle(hold=hold, usage=dollars(data.draw(st.integers(0, 99))), now=now)
            case "zone":
                zone = data.draw(st.sampled_from(["Pacific/Kiritimati", "America/Los_Angeles", "UTC"]))
                change_time_zone(tenant=tenant, time_zone=zone, now=now)
            case "switch":
                change_budget(budget=budget, is_active=False, now=now)
                change_budget(budget=budget, is_active=True, now=now)
            case "roll up":
                rollups.roll_up()
    assert {start: sums for start, sums in by_period(tenant).items() if any(sums)} == truth_of(
        tenant, period, account if scope else None
    )


def truth_of(tenant: Tenant, period: str, account: Any) -> Sums:
    spent: dict[str, Decimal] = defaultdict(Decimal)
    held: dict[str, Decimal] = defaultdict(Decimal)
    with tenant_transaction(tenant):
        zone = Tenant.objects.get(pk=tenant.pk).time_zone

    def start(at: datetime) -> str:
        return str(period_start(period, at=at, time_zone=zone))

    for entry in entries(tenant):
        if account in (None, entry.account_id):
            spent[start(entry.occurred_at)] += entry.amount
    with tenant_transaction(tenant):
        for hold in Hold.objects.filter(state=HoldState.HELD):
            if account in (None, hold.account_id):
                held[start(hold.occurred_at)] += hold.bound
    found = {each: (spent[each], held[each]) for each in {*spent, *held}}
    return {each: sums for each, sums in found.items() if any(sums)}
