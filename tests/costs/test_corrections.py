"""Estimates that a provider's bill corrects: exactly, once, whatever is killed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from django.db import DatabaseError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.ids import uuid7
from apps.costs import alert_rules
from apps.costs.models import (
    BudgetPeriod,
    BudgetScope,
    CorrectionState,
    ImportState,
    LedgerEntry,
    UsageCorrection,
    UsageDifference,
    UsageImport,
    UsageLine,
)
from apps.costs.services import corrections, holds, rollups, usage_imports
from apps.costs.services.budgets import change_time_zone, create_budget
from apps.costs.services.rollups import NotKeptError
from apps.costs.services.usage_imports import ImportedAlreadyError
from apps.costs.usage_reading import kept_since, standing_estimates
from apps.tenants.doors import call_for_tenant, tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tests import factories
from tests.costs.bills import LATER, NOON, correct, difference, imported, ledger, lose, spend
from tests.costs.rolled import KINDS
from tests.costs.spending import MODEL, counters, dollar_price, dollars, entries
from tests.costs.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year", "dollar_prices")]


def by_roll_ups() -> set[tuple[Decimal | int, int, int]]:
    """Amount, tokens and standing estimates by each of the three."""
    found: set[tuple[Decimal | int, int, int]] = set()
    with system_transaction(), connection.cursor() as cursor:
        for kind in KINDS:
            cursor.execute(f"SELECT sum(amount), sum(input_tokens), sum(estimated) FROM {kind}")  # noqa: S608
            amount, tokens, estimated = cursor.fetchone()
            found.add((amount, int(tokens), int(estimated)))
    return found


def test_the_estimates_of_a_day_become_what_the_provider_says(agency: Tenant, stranger: Tenant) -> None:
    for tenant in (agency, stranger):
        create_budget(tenant_id=tenant.pk, limit=Decimal(1000), now=NOON)
    spend(agency, 7)
    lose(agency, 30)
    lose(stranger, 10)

    found = imported(f"2026-05-14,{MODEL},3,20,3,1,20.0000000001")
    seen = difference()
    assert (seen.state, seen.estimates, seen.estimated_amount) == ("different", 2, Decimal(40))
    assert seen.rest == Decimal("13.0000000001")
    assert ledger() == (47, 7, 0, 0)
    assert correct(found) == 2

    assert ledger() == (Decimal("20.0000000001"), 20, 3, 1)
    assert [row.amount for row in entries(agency)] == [7, 30, Decimal("-20.2499999999")]
    assert [row.amount for row in entries(stranger)] == [10, Decimal("-6.75")]
    assert counters(agency) == [(Decimal("16.7500000001"), 0)]
    assert counters(stranger) == [(Decimal("3.25"), 0)]
    rollups.roll_up()
    assert by_roll_ups() == {(Decimal("20.0000000001"), 20, 0)}
    seen = difference()
    assert (seen.state, seen.estimates, seen.rest) == ("matched", 0, None)


def test_roll_ups_that_had_the_estimates_follow(agency: Tenant) -> None:
    lose(agency, 30)
    rollups.roll_up()
    assert by_roll_ups() == {(30, 0, 1)}
    correct(imported(f"2026-05-14,{MODEL},1,12,0,0,12"))
    rollups.roll_up()
    assert by_roll_ups() == {(12, 12, 0)}


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_where_only_estimates_differ_the_ledger_becomes_the_bill(agency: Tenant, data: st.DataObject) -> None:
    """By each day and model, to the last digit; the roll-ups agree."""
    day = NOON + timedelta(days=data.draw(st.integers(0, 20)), hours=data.draw(st.integers(-12, 11)))
    at = day.replace(microsecond=data.draw(st.integers(0, 999_999)))
    standing = data.draw(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
    for known in data.draw(st.lists(st.integers(0, 50), max_size=3)):
        spend(agency, known, at)
    for bound in standing:
        lose(agency, bound, at)
    known_now = ledger_of(at) - sum(standing)
    used = Decimal(data.draw(st.integers(0, sum(standing) * 10**10))).scaleb(-10)
    theirs = known_now + used
    # Every example's file is another one, though it may say the same.
    found = imported(
        f"{at.date()},{MODEL},{uuid7()},{theirs}",
        head="day,model,key,amount\n",
        now=LATER + timedelta(days=30),
    )
    corrections.plan_corrections(usage_import=found, now=LATER + timedelta(days=30))
    corrections.enter_corrections(now=LATER)
    assert ledger_of(at) == theirs
    rollups.roll_up()
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT sum(amount), sum(estimated) FROM costs_dayrollup WHERE day = %s", [at.date()])
        assert cursor.fetchone() == (theirs, 0)


def ledger_of(at: datetime) -> Decimal:
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    with system_transaction():
        rows = LedgerEntry.objects.filter(occurred_at__gte=start, occurred_at__lt=start + timedelta(days=1))
        return sum((row.amount for row in rows), Decimal(0))


def test_a_correction_is_entered_once_however_often_it_is_ordered(agency: Tenant) -> None:
    lose(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    correct(found)
    with pytest.raises(ConflictError, match="nothing to correct"):
        corrections.plan_corrections(usage_import=found, now=LATER)
    again = imported(f"2026-05-14,{MODEL},1,12,0,0,12.0", name="again.csv")
    with pytest.raises(ConflictError, match="nothing to correct"):
        corrections.plan_corrections(usage_import=again, now=LATER)
    assert corrections.enter_corrections(now=LATER) == 0
    assert ledger()[0] == 12


def test_two_who_order_and_two_who_enter_at_once_correct_once(agency: Tenant) -> None:
    for bound in range(10, 20):
        lose(agency, bound)
    found = imported(f"2026-05-14,{MODEL},10,70,0,0,70")

    def order(_: int) -> int:
        try:
            return corrections.plan_corrections(usage_import=found, now=LATER)
        except ConflictError:
            return 0

    assert sorted(at_once(2, order)) == [0, 10]
    assert sum(at_once(3, lambda _: corrections.enter_corrections(now=LATER))) == 10
    assert ledger() == (70, 70, 0, 0)
    assert len(entries(agency)) == 20


def test_two_imports_that_correct_the_same_at_once_do_so_once(agency: Tenant) -> None:
    lose(agency, 30)
    both = [imported(f"2026-05-14,{MODEL},1,{each},0,0,{each}", name=str(each)) for each in (12, 20)]
    for each in both:
        corrections.plan_corrections(usage_import=each, now=LATER)
    assert corrections.enter_corrections(now=LATER) == 2
    assert ledger()[0] == 12
    with system_transaction():
        states = list(UsageCorrection.objects.order_by("id").values_list("state", flat=True))
        assert states == [CorrectionState.ENTERED, CorrectionState.OVERTAKEN]
        assert set(UsageImport.objects.values_list("state", flat=True)) == {ImportState.CORRECTED}
        # The second import now shows that it and the ledger differ.
        assert sorted(UsageDifference.objects.values_list("state", flat=True)) == ["different", "matched"]


class KilledError(BaseException):
    pass


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_whoever_is_killed_between_corrections_is_followed_by_somebody_who_goes_on(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=NOON)
    for bound in (10, 20, 30):
        lose(agency, bound)
    found = imported(f"2026-05-14,{MODEL},3,6,0,0,6.000000001")
    corrections.plan_corrections(usage_import=found, now=LATER)
    real, calls = call_for_tenant, []

    def die(*given: Any) -> Any:
        calls.append(given)
        answer = real(*given) if len(given) > 1 else None
        if len(calls) > at:
            raise KilledError  # after the entry, before its transaction's end
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(corrections, "call_for_tenant", die)
        patch.setattr(corrections, "_finish", lambda import_id, now: die(import_id))
        with pytest.raises(KilledError):
            corrections.enter_corrections(now=LATER)
    assert len(entries(agency)) == 3 + at

    assert corrections.enter_corrections(now=LATER) == 3 - at
    assert ledger() == (Decimal("6.000000001"), 6, 0, 0)
    assert counters(agency) == [(Decimal("6.000000001"), 0)]
    with system_transaction():
        assert UsageImport.objects.get().state == ImportState.CORRECTED


def test_an_estimate_that_is_settled_meanwhile_keeps_what_is_known_of_it(agency: Tenant) -> None:
    hold = lose(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    corrections.plan_corrections(usage_import=found, now=LATER)
    holds.settle(hold=hold, usage=dollars(11), now=LATER)
    assert corrections.enter_corrections(now=LATER) == 1
    assert ledger()[0] == 11
    # And one that was settled before the plan is no estimate any more.
    with pytest.raises(ConflictError, match="nothing to correct"):
        corrections.plan_corrections(usage_import=found, now=LATER)
    # Nor does the late answer of a corrected one count again.
    other = lose(agency, 30, NOON + timedelta(days=1))
    correct(imported(f"2026-05-15,{MODEL},1,12,0,0,12"))
    assert holds.settle(hold=other, usage=dollars(3), now=LATER) is None


def test_budgets_that_came_after_the_call_follow_too(agency: Tenant) -> None:
    account = factories.account(tenant=agency)
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=NOON)
    lose(agency, 30, account_id=account.pk)
    of_account: dict[str, Any] = {"scope": BudgetScope.ACCOUNT, "scope_id": account.pk}
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=LATER, **of_account)
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=LATER, period=BudgetPeriod.DAY)
    provider: dict[str, Any] = {"scope": BudgetScope.PROVIDER, "provider": "azure"}
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=LATER, **provider)
    assert counters(agency) == [(30, 0), (30, 0), (0, 0), (0, 0)]
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    correct(found)
    assert counters(agency) == [(12, 0), (12, 0), (0, 0), (0, 0)]


def test_budgets_that_were_seeded_anew_follow_too(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(1000), now=NOON)
    lose(agency, 30)
    change_time_zone(tenant=agency, time_zone="Europe/Berlin", now=LATER)
    correct(imported(f"2026-05-14,{MODEL},1,12,0,0,12"))
    assert counters(agency) == [(12, 0)]


def test_other_estimates_of_the_same_sum_are_noticed(agency: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two readings, one is settled and another one comes: it would get what isn't its own."""
    settled = lose(agency, 30)
    lose(agency, 20)
    found = imported(f"2026-05-14,{MODEL},2,24,0,0,24")

    def read(**given: Any) -> Any:
        answer = standing_estimates(**given)
        holds.settle(hold=settled, usage=dollars(3), now=LATER)
        lose(agency, 30)
        return answer

    monkeypatch.setattr("apps.costs.services.corrections.standing_estimates", read)

    with pytest.raises(ConflictError, match="changed just now"):
        corrections.plan_corrections(usage_import=found, now=LATER)


def test_days_that_the_ledger_no_longer_has_are_refused_and_named(agency: Tenant) -> None:
    with system_transaction():
        first = kept_since()
    assert first is not None
    last_gone = first - timedelta(days=1)

    with pytest.raises(NotKeptError, match=f"begins on {last_gone}.*kept from {first} UTC"):
        imported(f"{last_gone},{MODEL},1,12,0,0,12", f"{first},{MODEL},1,12,0,0,12")
    imported(f"{first},{MODEL},1,12,0,0,12")

    with system_transaction():
        assert UsageImport.objects.count() == 1


def test_a_bill_whose_days_are_dropped_meanwhile_keeps_its_differences(agency: Tenant) -> None:
    lose(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    corrections.plan_corrections(usage_import=found, now=LATER)
    with system_transaction():
        UsageImport.objects.update(first_day=NOON.date() - timedelta(days=3000))

    assert corrections.enter_corrections(now=LATER) == 1

    assert difference().state == "different"
    with system_transaction():
        assert UsageImport.objects.get().state == ImportState.CORRECTED
    with pytest.raises(NotKeptError):
        usage_imports.compare_again(usage_import=found, now=LATER)
    with pytest.raises(NotKeptError):
        corrections.plan_corrections(usage_import=found, now=LATER)


def test_what_is_not_estimated_is_never_corrected(agency: Tenant) -> None:
    spend(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    assert difference().state == "different"
    with pytest.raises(ConflictError, match="nothing to correct"):
        corrections.plan_corrections(usage_import=found, now=LATER)
    assert ledger()[0] == 30


def test_more_than_was_held_is_corrected_only_where_it_is_wished_and_then_alerts(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(30), now=NOON)
    lose(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,75,0,0,75", now=LATER)
    assert "more than the estimated attempts" in difference().reason
    with pytest.raises(ConflictError, match="nothing to correct"):
        corrections.plan_corrections(usage_import=found, now=LATER)
    correct(found, above_bounds=True)
    assert counters(agency) == [(75, 0)]
    with system_transaction():
        (finding,) = alert_rules.budgets_exceeded(LATER)
    assert (finding.tenant_id, finding.data["spent"]) == (agency.pk, "75.00")


@pytest.mark.parametrize("days_later", [0, 400])
def test_a_budget_of_a_period_that_is_over_alerts_too_and_others_do_not(
    agency: Tenant, stranger: Tenant, days_later: int
) -> None:
    account: dict[str, Any] = {"scope": BudgetScope.ACCOUNT, "scope_id": factories.account(tenant=agency).pk}
    for tenant in (agency, stranger):
        create_budget(tenant_id=tenant.pk, limit=Decimal(30), period=BudgetPeriod.DAY, now=NOON)
    create_budget(tenant_id=agency.pk, limit=Decimal(30), period=BudgetPeriod.DAY, now=NOON, **account)
    lose(agency, 30)
    lose(stranger, 30)
    lose(stranger, 0)
    found = imported(f"2026-05-14,{MODEL},3,50,0,0,50")
    correct(found)  # below the bounds
    with system_transaction():
        assert list(alert_rules.budgets_exceeded(LATER)) == []
    lose(agency, 0, NOON + timedelta(hours=1))
    found = imported(f"2026-05-14,{MODEL},4,70,0,0,70")
    correct(found, above_bounds=True)

    with system_transaction():
        told = list(alert_rules.budgets_exceeded(LATER + timedelta(days=days_later)))

    # The first correction brought each to 25; the second, of an attempt of nothing, the agency's to 45.
    assert [(each.tenant_id, each.data["spent"]) for each in told] == (
        [] if days_later else [(agency.pk, "45.00")]
    )


def test_tokens_alone_are_priced_by_our_prices(agency: Tenant) -> None:
    spend(agency, 5)
    lose(agency, 30)
    correct(
        imported(
            f"2026-05-14,{MODEL}-2026-01-01,2,12,0,4",
            head="day,model,requests,input_tokens,cached_tokens,output_tokens\n",
        )
    )
    assert ledger() == (16, 12, 0, 4)


def test_days_are_utcs_and_models_and_providers_apart(agency: Tenant) -> None:
    dollar_price("azure")
    midnight = datetime(2026, 5, 15, tzinfo=UTC)
    spend(agency, 1, midnight - timedelta(microseconds=1))
    spend(agency, 2, midnight)
    spend(agency, 4, midnight, provider="azure")
    imported(f"2026-05-14,{MODEL},1,1,0,0,1", f"2026-05-15,{MODEL},1,2,0,0,2", "2026-05-15,other,1,2,0,0,2")
    with system_transaction():
        found = list(UsageDifference.objects.order_by("day", "model").values_list("day", "model", "state"))
    assert [(f"{day:%d}", model, state) for day, model, state in found] == [
        ("14", MODEL, "matched"),
        ("15", MODEL, "matched"),
        ("15", "other", "theirs_only"),
    ]


def test_the_same_file_is_read_once_by_two_at_once_too(agency: Tenant) -> None:
    def read(_: int) -> bool:
        try:
            imported(f"2026-05-14,{MODEL},1,1,0,0,1")
        except ImportedAlreadyError:
            return False
        return True

    assert sorted(at_once(3, read)) == [False, False, True]
    with system_transaction():
        assert UsageLine.objects.count() == 1


def test_a_file_that_can_not_be_read_leaves_nothing(agency: Tenant) -> None:
    with pytest.raises(InvalidInputError, match="Line 2"):
        imported("never,x,1,1,0,0,1")
    with pytest.raises(InvalidInputError, match="366 days at most"):
        imported("2025-01-01,x,1,1,0,0,1", "2026-05-14,x,1,1,0,0,1")
    with pytest.raises(InvalidInputError, match="no provider"):
        usage_imports.import_usage(provider="x", file=BytesIO(b""), file_name="x", now=LATER)
    with system_transaction():
        assert not UsageImport.objects.exists()


def test_tenants_see_no_bill_and_of_corrections_their_own(agency: Tenant, stranger: Tenant) -> None:
    lose(agency, 30)
    correct(imported(f"2026-05-14,{MODEL},1,12,0,0,12"))
    with tenant_transaction(agency):
        assert UsageCorrection.objects.count() == 1
        for model in (UsageImport, UsageLine, UsageDifference):
            assert not model._default_manager.exists()
    with tenant_transaction(stranger):
        assert not UsageCorrection.objects.exists()
    with pytest.raises(DatabaseError), tenant_transaction(agency):
        UsageCorrection.objects.update(amount=0)


def test_a_dated_model_that_has_a_price_of_its_own_is_the_one_that_was_called(agency: Tenant) -> None:
    dated = f"{MODEL}-2026-01-01"
    factories.price(provider="openai", model=dated, input_per_million=1, output_per_million=1)
    lose(agency, 30)
    correct(imported(f"2026-05-14,{dated},1,12,0,0,12"))
    assert ledger()[0] == 12


def test_a_bill_of_another_provider_is_refused(agency: Tenant) -> None:
    costs = "start_time_iso,line_item,amount_value,amount_currency\n"
    data = f'{costs}2026-05-14,"{MODEL}, input",12,usd\n'.encode()
    with pytest.raises(InvalidInputError, match="a bill of openai, and not of azure"):
        usage_imports.import_usage(provider="azure", file=BytesIO(data), file_name="x", now=LATER)
    with system_transaction():
        assert not UsageImport.objects.exists()


def test_the_queue_goes_on_with_what_is_planned(agency: Tenant) -> None:
    lose(agency, 30)
    found = imported(f"2026-05-14,{MODEL},1,12,0,0,12")
    corrections.plan_corrections(usage_import=found, now=LATER)
    with pytest.raises(ConflictError, match="being entered"):
        usage_imports.compare_again(usage_import=found, now=LATER)
    task = app.conf.beat_schedule["costs.corrections"]["task"]
    app.tasks[task]()
    assert ledger()[0] == 12
    assert usage_imports.compare_again(usage_import=found, now=LATER).state == ImportState.CORRECTED
