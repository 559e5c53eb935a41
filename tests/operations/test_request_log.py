"""A request's line in the log: one, when its answer is ready, with who sent it."""

import logging
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path


def answer(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello")


def fail(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug")


def stream(_request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(["Hel", "lo"])


urlpatterns = [path("answer", answer), path("fail", fail), path("stream", stream)]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Those of requests at the usual level."""
    records = [each for each in caplog.records if each.levelno >= logging.INFO]
    said = [each.msg for each in records if isinstance(each.msg, dict)]
    return [each for each in said if str(each["event"]).startswith(("request_", "streaming_"))]


def line(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    [found] = lines(caplog)
    return found


def test_it_says_what_was_asked_by_whom_and_what_came_of_it(caplog: pytest.LogCaptureFixture) -> None:
    headers = {"X-Forwarded-For": "198.51.100.1, 10.0.0.1", "User-Agent": "front end"}
    Client().get("/answer?page=2", REMOTE_ADDR="203.0.113.7", headers=headers)
    said = line(caplog)
    assert (said["event"], said["request"], said["code"]) == ("request_finished", "GET /answer?page=2", 200)
    assert said["ip"] == "203.0.113.7"
    assert said["forwarded_for"] == "198.51.100.1, 10.0.0.1"
    assert said["user_agent"] == "front end"


def test_headers_that_nobody_sent_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    Client().get("/answer")
    said = line(caplog)
    assert said["ip"] == "127.0.0.1"
    assert not {"forwarded_for", "user_agent"} & said.keys()


def test_what_callers_make_up_does_not_fill_the_log_or_hide_what_a_proxy_adds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = {"User-Agent": "front end" + "x" * 5_000, "X-Forwarded-For": "y" * 5_000 + ", 203.0.113.9"}
    Client().get("/answer", headers=headers)
    said = line(caplog)
    assert (len(said["user_agent"]), len(said["forwarded_for"])) == (200, 200)
    assert said["user_agent"].startswith("front end")
    assert said["forwarded_for"].endswith("y, 203.0.113.9")


def test_a_request_that_fails_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    Client(raise_request_exception=False).get(
        "/fail", REMOTE_ADDR="203.0.113.7", headers={"User-Agent": "front end"}
    )
    said = line(caplog)
    assert (said["event"], said["code"]) == ("request_failed", 500)
    assert (said["ip"], said["user_agent"]) == ("203.0.113.7", "front end")


def test_a_stream_has_another_at_its_end_with_the_same_address(caplog: pytest.LogCaptureFixture) -> None:
    answer = Client().get("/stream", REMOTE_ADDR="203.0.113.7")
    assert b"".join(answer) == b"Hello"
    said = lines(caplog)
    assert [each["event"] for each in said] == ["request_finished", "streaming_finished"]
    assert {each["ip"] for each in said} == {"203.0.113.7"}
