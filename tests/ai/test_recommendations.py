"""Applying, reverting, dismissing and measuring recommendations."""

from datetime import timedelta
from decimal import Decimal
from threading import Event, Timer
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import Deployment, Recommendation, Status, TaskPreference
from apps.ai.services import configuration
from apps.ai.services.measurements import measure_applied
from apps.ai.services.recommendations import (
    ChangedSinceError,
    NothingToApplyError,
    NotVerifiedError,
    WrongStatusError,
    apply_recommendation,
    dismiss_recommendation,
    revert_recommendation,
)
from apps.common.errors import DomainError, NotFoundError
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.optimising import HOUR, again, corrected, deployment, longer, many, past, recommendation
from tests.costs.spending import dollar_price
from tests.costs.threads import at_once
from tests.killing import killed_before

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

DAY = timedelta(days=1)


def act(
    action: Any, row: Recommendation, *, after: timedelta = timedelta(), tenant: Tenant | None = None
) -> Any:
    tenant_id = tenant.pk if tenant else row.tenant_id
    return action(recommendation_id=row.pk, tenant_id=tenant_id, by="Ada", now=timezone.now() + after)


def verified(tenant: Tenant, **fields: Any) -> Recommendation:
    return recommendation(tenant, status=Status.VERIFIED, **fields)


def preferences(tenant: Tenant) -> list[tuple[Any, ...]]:
    with tenant_transaction(tenant):
        rows = TaskPreference.objects.order_by("task_kind")
        return list(rows.values_list("task_kind", "deployment__name", "fresh", "stale"))


def test_a_cheaper_model_is_preferred_for_that_kind_and_no_longer_once_it_is_reverted(agency: Tenant) -> None:
    row = verified(agency)

    applied = act(apply_recommendation, row)
    set_to = preferences(agency)
    reverted = act(revert_recommendation, row)

    assert (applied.status, applied.applied_by) == (Status.APPLIED, "Ada")
    assert set_to == [("caption", "openai", None, None)]
    assert applied.before == {"deployment": None}
    assert (reverted.status, reverted.quiet_until is not None) == (Status.REVERTED, True)
    assert preferences(agency) == []


def test_a_longer_time_is_kept_for_that_kind_and_reverted_exactly(agency: Tenant) -> None:
    with tenant_transaction(agency):
        TaskPreference.objects.create(
            tenant_id=agency.pk,
            task_kind="caption",
            deployment=deployment("azure"),
            fresh=timedelta(seconds=90.5),
            stale=HOUR,
        )
    row = longer(agency)

    act(apply_recommendation, row)
    in_force = configuration.current().ttl(agency.pk, "caption")
    act(revert_recommendation, row)

    assert in_force == Ttl(HOUR, DAY)
    assert preferences(agency) == [("caption", "azure", timedelta(seconds=90.5), HOUR)]


def test_both_for_one_kind_live_side_by_side(agency: Tenant) -> None:
    model, time = verified(agency), longer(agency)
    act(apply_recommendation, model)
    act(apply_recommendation, time)

    act(revert_recommendation, model)

    assert preferences(agency) == [("caption", None, HOUR, DAY)]
    act(revert_recommendation, time)
    assert configuration.current().ttl(agency.pk, "caption") == TTLS["caption"]


def test_what_somebody_has_changed_since_is_not_reverted(agency: Tenant) -> None:
    row = verified(agency)
    act(apply_recommendation, row)
    with tenant_transaction(agency):
        TaskPreference.objects.update(deployment=deployment("azure"))

    with pytest.raises(ChangedSinceError, match=str(deployment("azure").pk)):
        act(revert_recommendation, row)

    assert preferences(agency) == [("caption", "azure", None, None)]
    assert again(row).status == Status.APPLIED


def test_what_somebody_has_deleted_since_is_not_reverted(agency: Tenant) -> None:
    row = longer(agency)
    act(apply_recommendation, row)
    with tenant_transaction(agency):
        TaskPreference.objects.all().delete()

    with pytest.raises(ChangedSinceError, match="fresh_s not set"):
        act(revert_recommendation, row)

    assert preferences(agency) == []


def test_an_older_change_is_reverted_after_the_one_upon_it(agency: Tenant) -> None:
    first, second = longer(agency, 3600), longer(agency, 7200, status=Status.OBSOLETE)
    act(apply_recommendation, first)
    with system_transaction():
        # As an analysis after the first would make it.
        Recommendation.objects.filter(pk=second.pk).update(status=Status.OPEN, subject="caption again")
    act(apply_recommendation, second)

    with pytest.raises(ChangedSinceError):
        act(revert_recommendation, first)
    act(revert_recommendation, second)
    act(revert_recommendation, first)

    assert preferences(agency) == []


def test_a_model_that_nobody_has_verified_is_not_applied(agency: Tenant) -> None:
    with pytest.raises(NotVerifiedError, match="verify it first"):
        act(apply_recommendation, recommendation(agency))
    assert preferences(agency) == []


def test_advice_for_people_is_not_applied(agency: Tenant) -> None:
    with pytest.raises(NothingToApplyError):
        act(apply_recommendation, recommendation(agency, kind="long_contexts", change=None))


@pytest.mark.parametrize(
    "status", [Status.VERIFYING, Status.REJECTED, Status.REVERTED, Status.DISMISSED, Status.OBSOLETE]
)
def test_only_what_is_open_or_verified_is_applied(agency: Tenant, status: Status) -> None:
    row = longer(agency, status=status, applied_at=timezone.now(), before={}, after={})
    with pytest.raises(WrongStatusError, match=str(status)):
        act(apply_recommendation, row)


@pytest.mark.parametrize("change", [{"enabled": False}, {"model": "without a price"}])
def test_a_deployment_that_can_not_be_asked_any_more_is_not_preferred(
    agency: Tenant, change: dict[str, Any]
) -> None:
    row, target = verified(agency), deployment("openai")
    with system_transaction():
        type(target).objects.filter(pk=target.pk).update(**change)
    with pytest.raises(ChangedSinceError, match=r"Analyse again\."):
        act(apply_recommendation, row)


def test_what_is_set_by_now_is_not_applied(agency: Tenant) -> None:
    with tenant_transaction(agency):
        TaskPreference.objects.create(
            tenant_id=agency.pk, task_kind="caption", deployment=deployment("openai"), fresh=DAY, stale=DAY
        )
    for row in (verified(agency), longer(agency)):
        with pytest.raises(ChangedSinceError, match="already"):
            act(apply_recommendation, row)


def test_a_time_that_is_shorter_than_the_usual_one_is_not_applied(agency: Tenant) -> None:
    with pytest.raises(ChangedSinceError, match="300 s already"):
        act(apply_recommendation, longer(agency, 300))


@pytest.mark.parametrize("action", [apply_recommendation, revert_recommendation, dismiss_recommendation])
def test_another_tenants_is_not_there(agency: Tenant, stranger: Tenant, action: Any) -> None:
    row = longer(stranger)
    with pytest.raises(NotFoundError):
        act(action, row, tenant=agency)
    assert again(row).status == Status.OPEN


def test_many_who_apply_it_at_once_apply_it_once(agency: Tenant) -> None:
    row = verified(agency)

    def attempt(_: int) -> str:
        try:
            return str(act(apply_recommendation, row).status)
        except DomainError as refusal:
            return refusal.code

    assert sorted(at_once(5, attempt)) == ["applied", *["wrong_status"] * 4]
    assert again(row).before == {"deployment": None}


def test_two_that_are_applied_to_one_kind_at_once_are_both_kept(agency: Tenant) -> None:
    rows = [verified(agency), longer(agency)]
    at_once(2, lambda index: act(apply_recommendation, rows[index]))
    assert preferences(agency) == [("caption", "openai", HOUR, DAY)]


@pytest.mark.parametrize("reverting", [False, True])
def test_killed_before_any_statement_nothing_has_changed(agency: Tenant, reverting: bool) -> None:
    row = verified(agency)
    if reverting:
        act(apply_recommendation, row)
    before = preferences(agency), again(row).status
    action = revert_recommendation if reverting else apply_recommendation
    for number in range(1, 100):
        with killed_before(number):
            act(action, row)
            break
        assert (preferences(agency), again(row).status) == before
    assert number > 5
    assert (preferences(agency), again(row).status) != before


def test_what_is_applied_or_being_verified_is_not_dismissed(agency: Tenant) -> None:
    row = longer(agency)
    act(apply_recommendation, row)
    with pytest.raises(WrongStatusError, match="open or verified or rejected"):
        act(dismiss_recommendation, row)


# --- measured


def test_what_was_saved_is_what_as_many_calls_would_have_cost_before(agency: Tenant) -> None:
    many(40, agency, cost=Decimal("0.01"))
    past(agency, task_kind="idea", cost=Decimal(5))
    row = verified(agency, monthly_saving=Decimal("1.20"))
    act(apply_recommendation, row)
    for _ in range(20):
        past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal("0.002"))
    for _ in range(5):
        past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal(0), source="cache")

    assert measure_applied(now=timezone.now() + HOUR) == 1

    found = again(row)
    assert (found.baseline_calls, found.baseline_cost) == (40, Decimal("0.4"))
    assert (found.measured_calls, found.measured_cost) == (25, Decimal("0.04"))
    assert found.measured_saving == Decimal("0.25") - Decimal("0.04")
    # What was promised is for a month. The 40 calls are of a week, so 7 / 30 of it is theirs; these are 25.
    assert found.predicted_saving == pytest.approx(Decimal("1.20") * 7 / 30 * 25 / 40)
    assert found.remark == ""


def test_corrections_of_estimates_are_no_savings_whenever_they_come(agency: Tenant) -> None:
    """One was settled at 10 dollars and has cost 4, by a bill of before; another's came after the change."""
    dollar_price()
    many(18, agency, cost=Decimal("0.01"))
    early, late = (past(agency, at=timezone.now() - HOUR, cost=Decimal(10)) for _ in range(2))
    corrected(early, agency, bound=10, used=4)
    row = verified(agency)
    act(apply_recommendation, row)
    at_first = again(row).baseline_cost
    for _ in range(19):
        past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal("0.01"))
    since = past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal(10))
    for each in (late, since):
        corrected(each, agency, bound=10, used=4)

    measure_applied(now=timezone.now() + HOUR)

    found = again(row)
    assert (at_first, found.baseline_cost) == (Decimal("14.18"), Decimal("8.18"))
    assert (found.measured_cost, found.measured_saving) == (Decimal("4.19"), Decimal("3.99"))


def test_with_too_few_calls_it_says_so_and_keeps_the_count(agency: Tenant) -> None:
    many(40, agency)
    row = verified(agency)
    act(apply_recommendation, row)
    past(agency, at=timezone.now() + timedelta(minutes=5))

    measure_applied(now=timezone.now() + HOUR)

    found = again(row)
    assert (found.measured_calls, found.measured_saving, found.roi) == (1, None, None)
    assert found.remark.startswith("Not enough calls yet: 40 in the 30 days before and 1 since")


def test_what_is_reverted_is_measured_until_then_and_no_longer(agency: Tenant) -> None:
    many(40, agency, cost=Decimal("0.01"))
    row = verified(agency, verification_cost=Decimal("0.05"))
    act(apply_recommendation, row)
    for _ in range(20):
        past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal("0.005"))

    act(revert_recommendation, row, after=HOUR)
    past(agency, at=timezone.now() + 2 * HOUR, cost=Decimal(100))
    assert measure_applied(now=timezone.now() + DAY) == 0

    found = again(row)
    assert (found.measured_calls, found.measured_saving) == (20, Decimal("0.1"))
    assert found.roi == Decimal(2)


def test_what_is_promised_of_a_kind_that_is_younger_than_the_tenant_is_what_the_analysis_said(
    agency: Tenant,
) -> None:
    """Forty captions within a day, of a tenant that has asked for 20 days: they are what it has saved on."""
    many(40, agency, cost=Decimal("0.01"))
    past(agency, task_kind="idea", at=timezone.now() - 20 * DAY)
    saved_in_span = Decimal("0.3")
    row = verified(agency, monthly_saving=saved_in_span * 30 / 20)
    act(apply_recommendation, row)
    for _ in range(20):
        past(agency, at=timezone.now() + timedelta(minutes=5), cost=Decimal("0.002"))

    measure_applied(now=timezone.now() + HOUR)

    predicted = again(row).predicted_saving
    assert predicted is not None
    assert predicted == pytest.approx(saved_in_span * 20 / 40, rel=Decimal("0.001"))


def test_one_that_is_applied_while_another_of_its_kind_is_reverted_waits_for_it(agency: Tenant) -> None:
    """The reverted one removes the row that both write to."""
    time, model = longer(agency), verified(agency)
    act(apply_recommendation, time)
    removed, looked = Event(), Event()

    def revert() -> None:
        with tenant_transaction(agency):
            act(revert_recommendation, time)
            removed.set()
            looked.wait(2)

    def apply() -> None:
        removed.wait(5)
        Timer(0.5, looked.set).start()
        act(apply_recommendation, model)

    at_once(2, lambda index: (revert, apply)[index]())

    assert preferences(agency) == [("caption", "openai", None, None)]


def test_what_was_set_before_and_has_gone_is_not_set_again(agency: Tenant) -> None:
    with system_transaction():
        gone = Deployment.objects.create(
            name="gone", provider="openai", model="gpt-4o-mini", model_class="standard"
        )
    row = verified(agency)
    with tenant_transaction(agency):
        TaskPreference.objects.create(tenant_id=agency.pk, task_kind="caption", deployment=gone)
    act(apply_recommendation, row)
    with system_transaction():
        gone.delete()

    assert act(revert_recommendation, row).status == Status.REVERTED

    assert preferences(agency) == []
