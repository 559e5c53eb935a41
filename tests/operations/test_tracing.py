"""Requests and runs of tasks as spans."""

from typing import Any

import pytest
from celery.exceptions import Retry
from django.http import HttpResponse
from django.test import RequestFactory
from opentelemetry.trace import SpanKind, StatusCode
from rest_framework.test import APIClient

from apps.operations.middleware import RequestSpans
from huntaze.celery import app
from tasks.base import Tick
from tests.tracing import Kept, keep_spans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return keep_spans(monkeypatch)


@app.task(name="tests.traced")
def traced(*, letter_id: str, outcome: str = "") -> None:
    if outcome == "defect":
        raise ZeroDivisionError("what a fan wrote")
    if outcome == "retry":
        raise Retry("what a fan wrote")


@app.task(base=Tick, name="tests.ticking")
def ticking() -> None:
    pass


def ids(span: Any) -> tuple[str, str]:
    """The trace, and the parent within it."""
    return format(span.context.trace_id, "032x"), format(span.parent.span_id, "016x")


@pytest.mark.django_db
def test_a_request_is_a_span_of_its_route_in_the_callers_trace(kept: Kept, api: APIClient) -> None:
    path = "/api/v2/campaigns/status/0197a3c4-0000-7000-8000-000000000000"
    assert api.get(path, HTTP_TRACEPARENT=TRACEPARENT).status_code == 404
    span = kept.named("GET /api/v2/campaigns/status/<uuid:campaign_id>")
    assert ids(span) == (TRACE, PARENT)
    assert span.kind == SpanKind.SERVER
    assert span.status.status_code == StatusCode.UNSET  # the caller's mistake is no error of ours
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.route": "/api/v2/campaigns/status/<uuid:campaign_id>",
    }


@pytest.mark.django_db
def test_a_path_that_leads_nowhere_is_in_no_name(kept: Kept) -> None:
    APIClient().generic("BREW", "/api/nothing")
    assert kept.names == ["other"]


@pytest.mark.django_db
def test_what_probes_and_scrapers_ask_is_no_span(kept: Kept) -> None:
    for path in ("/api/health", "/api/metrics", "/admin/login/"):
        APIClient().get(path)
    assert kept.names == []


def test_a_server_that_fails_is_an_error(kept: Kept) -> None:
    middleware = RequestSpans(lambda _request: HttpResponse(status=503))
    middleware(RequestFactory().get("/api/v2/campaigns"))
    span = kept.named("GET")
    assert (span.status.status_code, (span.attributes or {})["error.type"]) == (StatusCode.ERROR, "503")


def test_a_run_of_a_task_is_a_span_of_its_senders_trace(kept: Kept) -> None:
    traced.apply(kwargs={"letter_id": "17"}, headers={"traceparent": TRACEPARENT}, task_id="one")
    span = kept.named("process tests.traced")
    attributes = span.attributes or {}
    assert ids(span) == (TRACE, PARENT)
    assert span.kind == SpanKind.CONSUMER
    assert (attributes["messaging.message.id"], attributes["huntaze.letter_id"]) == ("one", "17")
    assert attributes["huntaze.task.retries"] == 0
    assert span.status.status_code == StatusCode.UNSET


def test_a_run_that_fails_is_told_by_the_exceptions_type(kept: Kept, db: None) -> None:
    traced.apply(kwargs={"letter_id": "17", "outcome": "defect"})
    span = kept.named("process tests.traced")
    assert (span.attributes or {})["error.type"] == "ZeroDivisionError"
    assert "fan" not in span.to_json()


def test_a_run_that_will_be_tried_again_has_not_failed(kept: Kept) -> None:
    with pytest.raises(Retry):
        traced(letter_id="17", outcome="retry")
    assert kept.named("process tests.traced").status.status_code == StatusCode.UNSET


def test_ticks_are_no_spans(kept: Kept) -> None:
    ticking.apply()
    assert kept.names == []
