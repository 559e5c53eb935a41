"""From what was asked to what was saved, with real calls of the providers' stand-in."""

from decimal import Decimal

import pytest
from celery import Task
from django.utils import timezone
from rest_framework.test import APIClient

from apps.ai import recommendation_serializers
from apps.ai.models import TaskPreference
from apps.ai.services.measurements import measure_applied
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tasks.ai import run_analysis
from tests.ai.asking import answer, caption
from tests.ai.optimising import deployment, work_off
from tests.conftest import Sandbox, as_json

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

OPTIMISE, LIST = "/api/v2/costs/optimize", "/api/v2/costs/optimization"


@pytest.fixture
def hinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears hints here; the test does the work."""
    monkeypatch.setattr(Task, "apply_async", lambda *_, **__: None)


@pytest.mark.usefixtures("hinted")
def test_what_is_recommended_is_verified_applied_measured_and_reverted(
    agency: Tenant, api: APIClient, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stand-in's models say things that have nothing to do with each other.
    monkeypatch.setattr(recommendation_serializers, "LEAST_ALIKE", Decimal("0.05"))
    with tenant_transaction(agency):
        TaskPreference.objects.create(
            tenant_id=agency.pk, task_kind="caption", deployment_id=deployment("azure").pk
        )
    asked = [answer(caption(agency, f"A lake at dusk, seen from hill {number}.")) for number in range(25)]
    assert {each.deployment_id for each in asked} == {deployment("azure").pk}

    begun = api.post(OPTIMISE, {"action": "analyse"})
    assert begun.status_code == 202, begun.content
    run_analysis(analysis_id=as_json(begun)["id"])

    (found,) = [each for each in as_json(api.get(LIST))["results"] if each["kind"] == "dear_model"]
    assert (found["subject"], found["status"]) == ("caption:openai", "open")
    unverified = api.post(OPTIMISE, {"action": "apply", "recommendation": found["id"]})
    assert (unverified.status_code, as_json(unverified)["error"]["code"]) == (409, "not_verified")

    verifying = api.post(
        OPTIMISE,
        {"action": "verify", "recommendation": found["id"], "judge": False, "threshold": "0.05", "sample": 8},
    )
    assert (verifying.status_code, as_json(verifying)["status"]) == (202, "verifying")
    work_off()

    detail = as_json(api.get(f"{LIST}/{found['id']}"))
    (replay,) = detail["replays"]
    assert (detail["status"], replay["state"]) == ("verified", "done"), detail
    assert 0 < replay["lower"] <= replay["score"] <= replay["upper"]
    assert {each["state"] for each in replay["items"]} == {"done"}
    with tenant_transaction(agency):
        entries = LedgerEntry.objects.filter(task_kind="replay")
        assert {each.model for each in entries} == {"gpt-3.5-turbo"}
        assert len(entries) == 8
        paid = sum(each.amount for each in entries)
        assert not Hold.objects.filter(state=HoldState.HELD).exists()
    assert Decimal(replay["cost"]["amount"]) == paid == Decimal(detail["verification_cost"]["amount"]) > 0

    applied = api.post(OPTIMISE, {"action": "apply", "recommendation": found["id"]})
    assert (applied.status_code, as_json(applied)["status"]) == (200, "applied"), applied.content
    now = [answer(caption(agency, f"A meadow at noon, seen from hill {number}.")) for number in range(25)]
    assert {each.deployment_id for each in now} == {deployment("openai").pk}

    measure_applied(now=timezone.now())
    measurement = as_json(api.get(f"{LIST}/{found['id']}"))["measurement"]
    assert measurement["calls"] == 25
    saved, spent = Decimal(measurement["saving"]["amount"]), Decimal(measurement["cost"]["amount"])
    before = sum(each.came_to.cost for each in asked)
    assert saved == before - spent > 0
    assert Decimal(measurement["predicted"]["amount"]) > 0
    assert measurement["roi"] == pytest.approx(float(saved / paid), abs=0.01)
    totals = as_json(api.get(LIST))["totals"]
    assert Decimal(totals["measured_saving"]["amount"]) == saved

    reverted = api.post(OPTIMISE, {"action": "revert", "recommendation": found["id"]})
    assert (reverted.status_code, as_json(reverted)["status"]) == (200, "reverted")
    assert answer(caption(agency, "A beach in the rain.")).deployment_id == deployment("azure").pk
