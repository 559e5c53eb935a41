"""Asking through the API for an answer that comes while it is made, and for one that isn't made anew."""

from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.ai.flights import ttl
from apps.ai.flights.ttl import Ttl
from apps.ai.models import Generation, GenerationState
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import calls_of
from tests.ai.event_streams import parsed
from tests.ai.web import environment, web
from tests.conftest import Sandbox, as_json
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

ASK = "/api/ai-assistant/generate"
PLAIN = {"task": "caption", "input": "Three photographs from the lake."}
CAPTION = {**PLAIN, "stream": True}
DOWN = {"error_rates": {"503": 1}}
KEY: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": "one"}
EVENTS: dict[str, Any] = {"HTTP_ACCEPT": "text/event-stream"}


def stream(
    api: APIClient, question: dict[str, Any], path: str = ASK, **headers: Any
) -> list[tuple[str, Any]]:
    answer: Any = api.post(path, question, format="json", **headers)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    return parsed(b"".join(answer.streaming_content))


def row() -> Generation:
    with system_transaction():
        return Generation.objects.select_related("deployment").get()


def paid() -> list[LedgerEntry]:
    with system_transaction():
        assert not Hold.objects.filter(state=HoldState.HELD).exists()
        return list(LedgerEntry.objects.order_by("id"))


def test_a_stream_keeps_no_connection_of_its_requests(api: APIClient) -> None:
    answer: Any = api.post(ASK, CAPTION, format="json")

    assert connection.connection is None
    assert parsed(b"".join(answer.streaming_content))[-1][0] == "done"


def test_pieces_come_and_then_the_generation(api: APIClient) -> None:
    *pieces, (last, generation) = stream(api, CAPTION)

    assert [name for name, _ in pieces] == ["delta"] * len(pieces)
    assert len(pieces) > 1
    assert last == "done"
    assert "".join(data["text"] for _, data in pieces).strip() == generation["text"]
    assert generation == as_json(api.get(f"/api/v2/generations/{generation['id']}"))
    assert (generation["state"], generation["source"]) == ("succeeded", "provider")
    assert [entry.amount for entry in paid()] == [Decimal(generation["cost"]["amount"])]


def test_a_structured_answer_comes_in_pieces_and_then_as_data(api: APIClient) -> None:
    *pieces, (last, generation) = stream(
        api, {"input": "Ideas for next week.", "stream": True}, "/api/content-ideas/generate"
    )

    assert (last, generation["text"]) == ("done", None)
    assert {name for name, _ in pieces} == {"delta"}
    assert generation["data"]["ideas"]


def test_before_the_first_piece_the_other_provider_takes_over(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", **DOWN}])

    events = stream(api, CAPTION)

    assert events[-1][0] == "done"
    assert events[-1][1]["provider"] == "azure"
    assert {name for name, _ in events[:-1]} == {"delta"}


def test_an_error_after_the_first_piece_is_the_end(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_event": 1}])
    before = calls_of(ai_sandbox)

    *pieces, (last, data) = stream(api, CAPTION)

    assert {name for name, _ in pieces} == {"delta"}
    assert last == "error"
    assert data["error"]["code"] == row().error_code
    assert (row().state, row().text) == (GenerationState.FAILED, "")
    assert calls_of(ai_sandbox) == before + 1
    assert [entry.estimated for entry in paid()] == [True]


def test_when_nobody_answers_the_only_event_says_why(api: APIClient, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"401": 1}}])

    ((name, data),) = stream(api, CAPTION)

    assert (name, data["error"]["code"]) == ("error", "auth")


def test_the_same_key_again_gets_the_end_at_once(api: APIClient, ai_sandbox: Sandbox) -> None:
    first = stream(api, CAPTION, **KEY)
    before = calls_of(ai_sandbox)

    second = stream(api, CAPTION, **KEY)

    assert second == first[-1:]
    assert calls_of(ai_sandbox) == before


def test_who_accepts_events_alone_gets_them(api: APIClient) -> None:
    assert stream(api, CAPTION, **EVENTS)[-1][0] == "done"


@pytest.mark.parametrize(("question", "status"), [({**CAPTION, "input": ""}, 400), (PLAIN, 200)])
def test_what_is_no_stream_is_json_also_to_those_who_accept_events_alone(
    question: dict[str, Any], status: int, api: APIClient
) -> None:
    answer = api.post(ASK, question, format="json", **EVENTS)

    assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")
    assert as_json(answer)


def test_who_would_rather_not_wait_gets_an_address_instead_of_a_stream(api: APIClient) -> None:
    answer = api.post(ASK, CAPTION, format="json", HTTP_PREFER="respond-async")

    assert answer.status_code == 202
    assert row().state == GenerationState.PENDING


def test_a_fresh_answer_is_asked_for_though_there_is_another(api: APIClient) -> None:
    first, again, fresh = (
        as_json(api.post(ASK, {**PLAIN, "fresh": fresh}, format="json")) for fresh in (False, False, True)
    )

    assert [each["source"] for each in (first, again, fresh)] == ["provider", "cache", "provider"]
    assert (again["joined"], again["cost"]["amount"]) == (first["id"], "0.00")
    assert fresh["joined"] is None
    assert len(paid()) == 2


@pytest.mark.parametrize("key", [{}, KEY])
def test_a_streams_row_says_that_nothing_kept_may_answer_it(api: APIClient, key: dict[str, Any]) -> None:
    """So nobody who reads it later takes it for one that a longer time in the cache would have spared."""
    stream(api, CAPTION, **key)
    assert row().fresh


def test_optional_work_gets_an_old_answer_with_its_age(
    api: APIClient, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ttl.TTLS, "caption", Ttl(timedelta(), timedelta(hours=1)))
    first = as_json(api.post(ASK, PLAIN, format="json"))
    ai_sandbox.faults(rules=[DOWN])

    second = as_json(api.post(ASK, {**PLAIN, "criticality": "optional"}, format="json"))

    assert (second["source"], second["text"]) == ("stale", first["text"])
    assert second["age_s"] >= 0
    assert second["joined"] == first["id"]


def client_of(tenant: Tenant, url: str) -> httpx2.Client:
    with system_transaction():
        _, key = create_api_key(tenant=tenant, role=Role.OWNER)
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    return httpx2.Client(base_url=url, headers=headers, timeout=60)


def test_who_hangs_up_after_the_first_piece_has_asked_all_the_same(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"stream_gap_ms": 100}])
    with web(environment(ai_sandbox)) as url, client_of(agency, url) as client:
        with client.stream("POST", ASK, json=CAPTION) as response:
            assert "event: delta" in iter(response.iter_lines())
            assert response.headers["Cache-Control"] == "no-store"
            assert row().state == GenerationState.RUNNING
        wait_until(lambda: row().state == GenerationState.SUCCEEDED, seconds=60, what="the answer")

    assert row().text
    (entry,) = paid()
    assert (entry.amount, entry.estimated) == (row().cost, False)


def test_with_all_streams_taken_the_next_is_refused_and_leaves_nothing(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"hang": 1}])
    with (
        web(environment(ai_sandbox, HUNTAZE_AI_STREAMS="4")) as url,
        client_of(agency, url) as client,
        ExitStack() as streams,
    ):
        for _ in range(4):
            taken = streams.enter_context(client.stream("POST", ASK, json=CAPTION))
            assert taken.status_code == 200

        refused = client.post(ASK, json={**CAPTION, "fresh": True})
        later = client.post(ASK, json=CAPTION, headers={"Prefer": "respond-async"})
        ai_sandbox.faults(rules=[])

        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "streams_busy")
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Content-Type"] == "application/json"
        assert later.status_code == 202
    with system_transaction():
        assert Generation.objects.count() == 5
