"""/api/v2/costs/optimization and optimize."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from apps.ai.models import Analysis, Generation, Recommendation, Replay, Status
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tasks.ai import run_analysis as analysis_task
from tasks.ai import run_generation as generation_task
from tests.ai.optimising import again, longer, many, recommendation, work_off
from tests.common.test_fuzz import AMOUNT, NUMBER, SETTINGS, bodies, check, send
from tests.conftest import as_json

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

LIST, OPTIMISE = "/api/v2/costs/optimization", "/api/v2/costs/optimize"
VERIFY = {"action": "verify", "recommendation": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f"}


@pytest.fixture
def hinted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that workers would be told of."""
    ids: list[str] = []

    def delay(**given: str) -> None:
        ids.extend(given.values())

    for task in (analysis_task, generation_task):
        monkeypatch.setattr(task, "delay", delay)
    return ids


def post(api: APIClient, action: str, row: Recommendation | None = None, **fields: Any) -> tuple[int, Any]:
    body = {"action": action, **({"recommendation": str(row.pk)} if row else {}), **fields}
    answer = api.post(OPTIMISE, body)
    return answer.status_code, as_json(answer)


def test_the_list_has_what_is_expected_and_what_was_measured(agency: Tenant, api: APIClient) -> None:
    applied = {
        "applied_at": timezone.now(),
        "applied_by": "Ada",
        "before": {"deployment": None},
        "after": {"deployment": "x"},
        "measured_at": timezone.now(),
        "measured_calls": 30,
        "measured_cost": Decimal("0.1"),
        "measured_saving": Decimal("0.5"),
        "predicted_saving": Decimal("0.4"),
        "verification_cost": Decimal("0.25"),
    }
    recommendation(agency, status=Status.APPLIED, **applied)
    longer(agency, monthly_saving=Decimal("0.125"))
    recommendation(agency, subject="gone", status=Status.OBSOLETE, monthly_saving=Decimal(100))

    body = as_json(api.get(LIST))

    assert [each["subject"] for each in body["results"]] == ["gone", "caption", "caption:openai"]
    assert body["totals"] == {
        "expected_monthly_saving": {"amount": "0.125", "currency": "USD"},
        "measured_saving": {"amount": "0.50", "currency": "USD"},
        "predicted_saving": {"amount": "0.40", "currency": "USD"},
        "verification_cost": {"amount": "0.25", "currency": "USD"},
    }
    assert body["analysis"] is None
    last = body["results"][2]
    assert last["measurement"]["saving"] == {"amount": "0.50", "currency": "USD"}
    assert (last["measurement"]["roi"], last["application"]["by"]) == (2, "Ada")
    assert body["results"][1]["measurement"] is body["results"][1]["application"] is None
    assert "evidence" not in last


def test_the_totals_promise_nothing_twice(agency: Tenant, api: APIClient) -> None:
    recommendation(agency, monthly_saving=Decimal(2))
    longer(agency, monthly_saving=Decimal("1.25"))
    recommendation(agency, task_kind="message", subject="message:openai", monthly_saving=Decimal(4))

    assert as_json(api.get(LIST))["totals"]["expected_monthly_saving"]["amount"] == "6.00"


def test_it_is_paged_and_filtered(agency: Tenant, api: APIClient) -> None:
    for number in range(3):
        recommendation(agency, subject=str(number))
    longer(agency, status=Status.DISMISSED)

    first = as_json(api.get(LIST, {"limit": 2}))
    second = as_json(api.get(first["next"]))
    open_ones = as_json(api.get(LIST, {"status": "open", "kind": ["dear_model", "repeated_prompts"]}))
    refused = api.get(LIST, {"state": "open"})

    assert [each["subject"] for each in first["results"] + second["results"]] == ["caption", "2", "1", "0"]
    assert second["next"] is None
    assert [each["subject"] for each in open_ones["results"]] == ["2", "1", "0"]
    assert refused.status_code == 400
    assert "there are: cursor, kind, limit, status, task" in as_json(refused)["error"]["message"]


def test_the_lists_statements_do_not_grow_with_its_rows(agency: Tenant, api: APIClient) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(LIST).status_code == 200
        return len(captured)

    recommendation(agency)
    statements()  # what a key and a process do once
    before = statements()
    for number in range(20):
        recommendation(agency, subject=str(number))
    assert statements() == before


def test_a_detail_has_the_evidence_and_the_replays(agency: Tenant, api: APIClient, hinted: list[str]) -> None:
    many(8, agency)
    row = recommendation(agency, evidence={"questions": 8})

    begun = post(api, "verify", row, judge=False, sample=6, threshold="0.40", max_cost="0.5")
    work_off()
    body = as_json(api.get(f"{LIST}/{row.pk}"))

    assert begun[0] == 202
    with tenant_transaction(agency):
        assert hinted == [str(pk) for pk in _asked(agency)]
    (replay,) = body["replays"]
    assert (replay["state"], replay["deployment"], replay["threshold"]) == ("done", "openai", 0.4)
    assert replay["max_cost"] == {"amount": "0.50", "currency": "USD"}
    assert len(replay["items"]) == 6
    assert replay["items"][0]["original_cost"] == {"amount": "0.0009", "currency": "USD"}
    assert 0 < replay["items"][0]["score"] <= 1
    assert body["evidence"]["questions"] == 8
    assert body["evidence"]["replay"]["id"] == replay["id"]


def _asked(tenant: Tenant) -> list[Any]:
    rows = Generation.objects.filter(tenant_id=tenant.pk, task_kind="replay").order_by("id")
    return list(rows.values_list("pk", flat=True))


def test_an_analysis_is_left_once_and_seen_in_the_list(
    agency: Tenant, api: APIClient, hinted: list[str]
) -> None:
    many(12, agency)

    first, second = post(api, "analyse"), post(api, "analyse")
    waiting = as_json(api.get(LIST))["analysis"]
    analysis_task(analysis_id=hinted[0])
    done = as_json(api.get(LIST))

    assert first[0] == second[0] == 202
    assert first[1]["id"] == second[1]["id"] == hinted[0]
    assert waiting["state"] == "pending"
    assert (done["analysis"]["state"], done["analysis"]["generations"]) == ("done", 12)
    assert [each["subject"] for each in done["results"]] == ["caption:openai"]


@pytest.mark.usefixtures("hinted")
def test_the_same_request_again_is_done_once(agency: Tenant, api: APIClient) -> None:
    many(8, agency)
    row = recommendation(agency)
    body = {"action": "verify", "recommendation": str(row.pk), "judge": False}

    answers = [api.post(OPTIMISE, body, headers={"Idempotency-Key": "one"}) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert as_json(answers[0]) == as_json(answers[1])
    with tenant_transaction(agency):
        assert Replay.objects.count() == 1


def test_each_action_is_answered_with_what_became_of_it(agency: Tenant, api: APIClient) -> None:
    row = longer(agency)

    applied, reverted = post(api, "apply", row), post(api, "revert", row)
    other = longer(agency)
    dismissed = post(api, "dismiss", other)

    assert (applied[0], applied[1]["status"]) == (200, "applied")
    assert applied[1]["application"]["after"] == {"fresh_s": 3600, "stale_s": 86400}
    assert applied[1]["application"]["by"]
    assert (reverted[0], reverted[1]["status"]) == (200, "reverted")
    assert (dismissed[0], dismissed[1]["status"]) == (200, "dismissed")
    assert dismissed[1]["quiet_until"] is not None


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({}, "action", "required"),
        ({"action": "analyze"}, "action", "not a valid choice"),
        ({"action": "apply"}, "recommendation", "Say which one to apply"),
        (
            {"action": "analyse", "recommendation": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f"},
            "recommendation",
            "out",
        ),
        (
            {"action": "apply", "recommendation": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f", "sample": 9},
            "sample",
            "the action verify alone",
        ),
        ({"action": "verify", "recommendation": "x"}, "recommendation", "valid UUID"),
        ({"action": "analyse", "samples": 1}, "samples", "This field is unknown; there are: action, judge"),
        ({"action": "verify", "sample": 4}, "sample", "greater than or equal to 5"),
        ({"action": "verify", "sample": 101}, "sample", "less than or equal to 100"),
        ({"action": "verify", "threshold": "1.01"}, "threshold", "less than or equal to 1"),
        ({**VERIFY, "threshold": "0.49"}, "threshold", "at least 0.50 with a judge"),
        ({**VERIFY, "threshold": "0.39", "judge": False}, "threshold", "at least 0.40 without a judge"),
        ({"action": "verify", "max_cost": "-1"}, "max_cost", "greater than or equal to 0"),
        ({"action": "verify", "max_cost": "1.01"}, "max_cost", "at most 1.00 USD"),
    ],
)
def test_what_cannot_be_right_is_refused_with_what_would_be(
    api: APIClient, body: dict[str, Any], field: str, said: str
) -> None:
    answer = api.post(OPTIMISE, body)
    assert answer.status_code == 400
    assert said in as_json(answer)["error"]["fields"][field]


def test_refusals_say_why(agency: Tenant, api: APIClient) -> None:
    many(8, agency)
    row = recommendation(agency)

    unverified, dear = post(api, "apply", row), post(api, "verify", row, max_cost="0")
    not_applied, nothing = post(api, "revert", row), post(api, "verify", longer(agency))

    assert (unverified[0], unverified[1]["error"]["code"]) == (409, "not_verified")
    assert (dear[0], dear[1]["error"]["code"]) == (422, "replay_too_dear")
    assert "max_cost" in dear[1]["error"]["fields"]
    assert (not_applied[0], not_applied[1]["error"]["code"]) == (409, "wrong_status")
    assert (nothing[0], nothing[1]["error"]["code"]) == (409, "nothing_to_apply")
    with tenant_transaction(agency):
        assert not Replay.objects.exists()


@pytest.mark.parametrize("action", ["verify", "apply", "revert", "dismiss"])
def test_another_tenants_is_a_404(stranger: Tenant, api: APIClient, action: str) -> None:
    row = recommendation(stranger)
    status, body = post(api, action, row)
    assert (status, body["error"]["message"]) == (404, "There is no such recommendation.")
    assert api.get(f"{LIST}/{row.pk}").status_code == 404
    assert as_json(api.get(LIST))["results"] == []
    assert again(row).status == Status.OPEN


def test_whoever_only_reads_changes_nothing(agency: Tenant, analyst_api: APIClient) -> None:
    row = longer(agency)
    assert analyst_api.get(LIST).status_code == 200
    assert analyst_api.get(f"{LIST}/{row.pk}").status_code == 200
    for action in ("apply", "dismiss"):
        assert post(analyst_api, action, row)[0] == 403
    assert post(analyst_api, "analyse")[0] == 403
    with tenant_transaction(agency):
        assert not Analysis.objects.exists()


def test_nobody_asks_for_a_replay_as_a_task_of_its_own(api: APIClient) -> None:
    refused = api.post("/api/ai-assistant/generate", {"task": "replay", "input": "Hello"})
    assert "task" in as_json(refused)["error"]["fields"]


@pytest.mark.usefixtures("hinted")
@SETTINGS
@given(data=st.data())
def test_whatever_is_sent_is_no_error_of_ours(data: st.DataObject, agency: Tenant, api: APIClient) -> None:
    with tenant_transaction(agency):
        row = Recommendation.objects.first()
        Recommendation.objects.update(status=Status.OPEN)
    row = row or longer(agency)
    fields = {
        "action": st.sampled_from(["analyse", "verify", "apply", "revert", "dismiss"]),
        **dict.fromkeys(("sample", "max_cost", "threshold"), AMOUNT | NUMBER),
        "judge": st.booleans(),
    }
    send(api, "POST", OPTIMISE, data.draw(bodies(fields, action="verify", recommendation=str(row.pk))))


@SETTINGS
@given(
    query=st.dictionaries(
        st.sampled_from(["status", "kind", "task", "cursor", "limit", "order"]),
        st.text(max_size=10) | st.sampled_from(["open", "dear_model", "caption", "5"]),
        max_size=3,
    )
)
def test_whatever_is_asked_for_is_no_error_of_ours(query: dict[str, str], api: APIClient) -> None:
    spelt = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
    check(api.get(LIST, spelt), query)
