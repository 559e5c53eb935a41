"""Asking the assistant through the API, with the answer in the response."""

from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.test import APIClient

from apps.ai.deadlines import CRITICAL
from apps.ai.models import Generation, GenerationState
from apps.ai.services import generations
from apps.ai.views import questions
from apps.common.ids import uuid7
from apps.costs.models import BudgetScope, Hold, HoldState, LedgerEntry
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import Purpose
from apps.messaging.models import Account
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.ai.asking import calls_of
from tests.conftest import Sandbox, as_json, client_of
from tests.costs.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

ASK = "/api/ai-assistant/generate"
CAPTION = {"task": "caption", "input": "Three photographs from the lake.", "variables": {"tone": "playful"}}
LATER: dict[str, Any] = {"HTTP_PREFER": "respond-async"}
KEY: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "one"}


def rows() -> list[Generation]:
    with system_transaction():
        return list(Generation.objects.order_by("pk"))


def test_the_answer_comes_with_what_it_cost(agency: Tenant, api: APIClient) -> None:
    answer = api.post(ASK, CAPTION, format="json")

    body = as_json(answer)
    assert answer.status_code == 200
    assert (body["task"], body["state"]) == ("caption", "succeeded")
    assert (body["source"], body["age_s"]) == ("provider", 0)
    assert body["text"]
    assert body["data"] is None
    assert body["usage"]["output_tokens"] > 0
    with system_transaction():
        entry = LedgerEntry.objects.get()
    assert (entry.tenant_id, str(entry.generation_id)) == (agency.pk, body["id"])
    assert Decimal(body["cost"]["amount"]) == entry.amount > 0


def test_the_answer_is_what_its_row_says_later(api: APIClient) -> None:
    bodies = [as_json(api.post(ASK, CAPTION, format="json")) for _ in range(2)]

    assert [body["source"] for body in bodies] == ["provider", "cache"]
    for body in bodies:
        assert as_json(api.get(f"/api/v2/generations/{body['id']}")) == body


def test_facts_reach_the_model_beside_the_request(api: APIClient) -> None:
    question = {**CAPTION, "variables": {"tone": "playful", "platforms": ["instagram", "tiktok"]}}

    generation_id = as_json(api.post(ASK, question, format="json"))["id"]

    (row,) = rows()
    assert str(row.pk) == generation_id
    assert row.variables == {"input": question["input"], "variables": question["variables"]}
    assert row.prompt.key == "assistant_caption"


def test_who_would_rather_not_wait_gets_an_address(api: APIClient) -> None:
    answer = api.post(ASK, CAPTION, format="json", **LATER)

    body = as_json(answer)
    assert answer.status_code == 202
    assert body["status_url"].endswith(f"/api/v2/generations/{body['id']}")
    assert as_json(api.get(body["status_url"]))["state"] == "pending"


def test_the_same_request_again_gets_the_same_answer_and_costs_nothing(api: APIClient) -> None:
    first, second = (api.post(ASK, CAPTION, format="json", HTTP_IDEMPOTENCY_KEY="one") for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 200)
    assert as_json(first) == as_json(second)
    with system_transaction():
        assert LedgerEntry.objects.count() == 1


def test_after_a_failure_that_may_pass_the_same_key_asks_anew(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"503": 1}}])
    refused = api.post(ASK, CAPTION, format="json", **KEY)
    assert refused.status_code == 503
    ai_sandbox.faults(rules=[])

    answer, again = (api.post(ASK, CAPTION, format="json", **KEY) for _ in range(2))

    assert (answer.status_code, again.status_code) == (200, 200)
    assert as_json(answer) == as_json(again)
    failed, answered = rows()
    assert (failed.state, answered.state) == (GenerationState.FAILED, GenerationState.SUCCEEDED)
    other = api.post(ASK, {**CAPTION, "input": "Another."}, format="json", **KEY)
    assert (other.status_code, as_json(other)["error"]["code"]) == (409, "idempotency_key_reused")


def test_who_would_rather_not_wait_after_such_a_failure_leaves_a_question_of_its_own(
    api: APIClient, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"503": 1}}])
    api.post(ASK, CAPTION, format="json", **KEY)

    first, second = (as_json(api.post(ASK, CAPTION, format="json", **KEY, **LATER)) for _ in range(2))

    assert first["id"] == second["id"]
    assert [row.state for row in rows()] == [GenerationState.FAILED, GenerationState.PENDING]


@pytest.mark.parametrize(
    ("fault", "status"), [({"context_length": 1}, 422), ({"content_filter": 1}, 422), (None, 409)]
)
def test_a_refusal_that_stays_so_stays_the_answer_of_its_key(
    agency: Tenant, api: APIClient, ai_sandbox: Sandbox, fault: dict[str, Any] | None, status: int
) -> None:
    if fault is None:
        create_budget(tenant_id=agency.pk, limit=Decimal("0.000001"), now=timezone.now())
    ai_sandbox.faults(rules=[fault] if fault else [])
    first = api.post(ASK, CAPTION, format="json", **KEY)
    ai_sandbox.faults(rules=[])

    second = api.post(ASK, CAPTION, format="json", **KEY)

    assert (first.status_code, second.status_code) == (status, status)
    assert as_json(first) == as_json(second)
    assert len(rows()) == 1


def test_of_those_who_ask_anew_at_once_one_does(agency: Tenant, api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"503": 1}}])
    api.post(ASK, CAPTION, format="json", **KEY)
    ai_sandbox.faults(rules=[{"latency": {"distribution": "constant", "ms": 500}}])
    clients, before = [client_of(agency) for _ in range(4)], calls_of(ai_sandbox)

    answers = at_once(4, lambda index: clients[index].post(ASK, CAPTION, format="json", **KEY))

    assert calls_of(ai_sandbox) == before + 1
    assert sorted(answer.status_code for answer in answers) == [200, 202, 202, 202]
    assert len({as_json(answer)["id"] for answer in answers}) == 1
    assert len(rows()) == 2


def test_what_was_left_to_the_workers_is_answered_when_it_is_asked_again(api: APIClient) -> None:
    later = api.post(ASK, CAPTION, format="json", **KEY, **LATER)

    answer = api.post(ASK, CAPTION, format="json", **KEY)

    assert answer.status_code == 200
    assert as_json(answer)["id"] == as_json(later)["id"]


def test_no_worker_takes_what_its_caller_waits_for(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    leave = generations.request_generation

    def left(**fields: Any) -> Generation:
        made = leave(**fields)
        transaction.on_commit(
            lambda: taken.append(generations.run_generation(generation_id=None, clock=timezone.now))
        )
        return made

    monkeypatch.setattr(generations, "request_generation", left)

    answer = api.post(ASK, CAPTION, format="json", **KEY)

    assert taken == [None]
    assert answer.status_code == 200


def test_while_somebody_else_answers_it_the_address_is_given(api: APIClient) -> None:
    api.post(ASK, CAPTION, format="json", **KEY, **LATER)
    with system_transaction():
        Generation.objects.update(state="running", lease_expires_at=timezone.now() + timedelta(minutes=1))

    assert api.post(ASK, CAPTION, format="json", **KEY).status_code == 202


def test_without_any_provider_it_says_so_and_when_to_come_again(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"401": 1}}])

    answer = api.post(ASK, CAPTION, format="json")

    assert answer.status_code == 503
    assert as_json(answer)["error"]["code"] == "auth"
    assert int(answer.headers["Retry-After"]) >= 1
    (row,) = rows()
    assert row.state == "failed"
    assert [each.get("outcome") for each in row.explain if "attempt" in each] == ["auth", "auth"]


def test_what_no_provider_takes_is_the_requests_fault(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"content_filter": 1}])

    answer = api.post(ASK, CAPTION, format="json")

    assert (answer.status_code, as_json(answer)["error"]["code"]) == (422, "content_filtered")


def test_an_optional_answer_is_waited_for_only_shortly(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"hang": 1}])

    answer = api.post(ASK, {**CAPTION, "criticality": "optional"}, format="json")

    assert (answer.status_code, as_json(answer)["error"]["code"]) == (503, "timeout")
    (row,) = rows()
    assert row.latency
    assert row.latency < timedelta(seconds=5)
    with system_transaction():
        assert not Hold.objects.filter(state=HoldState.HELD).exists()


def test_the_wait_for_a_place_is_a_part_of_the_callers_time(
    api: APIClient, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 100.0 + CRITICAL.total.total_seconds()])
    monkeypatch.setattr(questions, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    before = calls_of(ai_sandbox)

    answer = api.post(ASK, CAPTION, format="json")

    assert (answer.status_code, as_json(answer)["error"]["code"]) == (503, "timeout")
    assert calls_of(ai_sandbox) == before


def test_the_own_words_of_a_provider_are_for_operators(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"429": 1}}])

    told = as_json(api.post(ASK, CAPTION, format="json"))["error"]["message"]

    (row,) = rows()
    said = {each["message"] for each in row.explain if "attempt" in each}
    assert said
    assert not [words for words in said if words in told]
    assert "is asked too much at the moment" in told


def test_a_budget_that_is_spent_refuses(agency: Tenant, api: APIClient) -> None:
    budget = create_budget(tenant_id=agency.pk, limit=Decimal("0.000001"), now=timezone.now())

    answer = api.post(ASK, CAPTION, format="json")

    assert (answer.status_code, as_json(answer)["error"]["code"]) == (409, "budget_exhausted")
    ceiling = as_json(answer)["error"]["fields"]
    assert Decimal(ceiling.pop("needed")) > Decimal("0.000001")
    assert ceiling == {
        "budget": str(budget.pk),
        "scope": "tenant",
        "period": "month",
        "period_end": as_json(api.get(f"/api/v2/costs/budgets/{budget.pk}"))["current"]["end"],
        "limit": "0.000001",
        "spent": "0.00",
        "held": "0.00",
        "currency": "USD",
    }
    with system_transaction():
        assert not Hold.objects.exists(), "nobody was called"


def test_a_budget_that_is_busy_says_what_it_holds(agency: Tenant, api: APIClient) -> None:
    budget = create_budget(tenant_id=agency.pk, limit=Decimal("0.01"), now=timezone.now())
    held = holds.take(
        purpose=Purpose(agency.pk, uuid7(), "message", timezone.now()),
        attempt=1,
        provider="openai",
        model="gpt-3.5-turbo",
        body_bytes=19_999,
        max_tokens=0,
        expires_at=timezone.now() + timedelta(minutes=5),
        now=timezone.now(),
    )

    answer = api.post(ASK, {**CAPTION, "criticality": "optional"}, format="json")

    error = as_json(answer)["error"]
    assert (answer.status_code, error["code"]) == (503, "budget_busy")
    ceiling = error["fields"]
    assert (ceiling["budget"], Decimal(ceiling["held"])) == (str(budget.pk), held.bound)
    assert error["message"].count("Try again shortly.") == 1


@pytest.mark.parametrize("way", [{}, {"fresh": True}, {"stream": True}, LATER], ids=str)
def test_the_cost_is_for_whom_it_says(
    agency: Tenant, account: Account, api: APIClient, way: dict[str, Any]
) -> None:
    whom = {
        "account": account.pk,
        "campaign": factories.campaign(tenant=agency, accounts=[account]).pk,
        "user": factories.user(tenant=agency, role=Role.ANALYST).pk,
    }
    for scope, scope_id in whom.items():
        create_budget(
            tenant_id=agency.pk,
            limit=Decimal(1),
            now=timezone.now(),
            scope=BudgetScope(scope),
            scope_id=scope_id,
        )
    headers, fields = (way, {}) if way is LATER else ({}, way)
    answer = api.post(ASK, {**CAPTION, **whom, **fields}, format="json", **headers)
    if way is LATER:
        generations.run_generation(generation_id=as_json(answer)["id"], clock=timezone.now)
    elif fields.get("stream"):
        answer.getvalue()

    (generation,) = rows()
    kept = (generation.account_id, generation.campaign_id, generation.user_id)
    assert kept == tuple(whom.values())
    for scope, scope_id in whom.items():
        by_scope = as_json(api.get("/api/v2/costs/breakdown", {"by": scope}))
        (group,) = by_scope["results"]
        assert group[scope] == str(scope_id)
    spent = {
        budget["scope"]: Decimal(budget["current"]["spent"]["amount"])
        for budget in as_json(api.get("/api/v2/costs/budgets"))["results"]
    }
    assert spent == dict.fromkeys(whom, generation.cost)
    assert generation.cost > 0


def test_without_any_of_them_none_is_looked_for(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.ai.views.questions.tenant_transaction", None)

    assert api.post(ASK, CAPTION, format="json").status_code == 200


@pytest.mark.parametrize("way", [{}, {"fresh": True}, {"stream": True}, LATER], ids=str)
def test_whom_the_tenant_does_not_have_nothing_is_asked_for(
    stranger: Tenant, api: APIClient, way: dict[str, Any]
) -> None:
    theirs = factories.account(tenant=stranger)
    others = {
        "account": theirs.pk,
        "campaign": factories.campaign(tenant=stranger, accounts=[theirs]).pk,
        "user": factories.user(tenant=stranger, role=Role.ANALYST).pk,
    }
    headers, fields = (way, {}) if way is LATER else ({}, way)
    for scope, scope_id in others.items():
        for missing in (scope_id, uuid7()):
            answer = api.post(ASK, {**CAPTION, scope: missing, **fields}, format="json", **headers)

            assert answer.status_code == 404
            assert as_json(answer)["error"]["fields"] == {scope: f"There is no such {scope}."}
    assert rows() == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accounts": []}, "accounts"),
        ({"account": "Luna"}, "account"),
        ({"task": "embedding"}, "task"),
        ({"task": None}, "task"),
        ({"input": ""}, "input"),
        ({"input": "x" * 20_001}, "input"),
        ({"variables": ["tone"]}, "variables"),
        ({"variables": {"tone": "x" * 20_000}}, "variables"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 4001}, "max_tokens"),
        ({"priority": "urgent"}, "priority"),
        ({"criticality": "whenever"}, "criticality"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(change: dict[str, Any], field: str, api: APIClient) -> None:
    answer = api.post(ASK, {**CAPTION, **change}, format="json")

    assert answer.status_code == 400
    assert field in as_json(answer)["error"]["fields"]


def test_a_body_of_nothing_is_refused_in_words_that_fit(api: APIClient) -> None:
    answer = api.post(ASK, "null", content_type="application/json")
    assert answer.status_code == 400
    assert as_json(answer)["error"]["message"] == "No data provided"
    assert rows() == []


def test_who_may_only_read_asks_nothing(analyst_api: APIClient) -> None:
    assert analyst_api.post(ASK, CAPTION, format="json").status_code == 403
    assert rows() == []


def test_a_stranger_finds_no_answer(api: APIClient, stranger_api: APIClient) -> None:
    body = as_json(api.post(ASK, CAPTION, format="json"))

    assert stranger_api.get(f"/api/v2/generations/{body['id']}").status_code == 404
