"""A request's line in the log: one, when it is answered, with who sent it."""

from typing import Any

import pytest
from django.test import Client, RequestFactory
from django_structlog.signals import bind_extra_request_failed_metadata

pytestmark = pytest.mark.django_db


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [each for each in said if str(each["event"]).startswith("request_")]


def test_one_line_says_what_was_asked_by_whom_and_what_came_of_it(caplog: pytest.LogCaptureFixture) -> None:
    Client().get(
        "/api/health",
        REMOTE_ADDR="203.0.113.7",
        headers={"X-Forwarded-For": "198.51.100.1, 10.0.0.1", "User-Agent": "front end"},
    )
    [line] = lines(caplog)
    assert line["event"] == "request_finished"
    assert line["request"] == "GET /api/health"
    assert line["ip"] == "203.0.113.7"
    assert line["forwarded_for"] == "198.51.100.1, 10.0.0.1"
    assert line["user_agent"] == "front end"
    assert line["code"] in (200, 503)


def test_headers_that_nobody_sent_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    Client().get("/api/health")
    [line] = lines(caplog)
    assert line["ip"] == "127.0.0.1"
    assert not {"forwarded_for", "user_agent"} & line.keys()


def test_what_callers_make_up_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Client().get("/api/health", headers={"User-Agent": "x" * 5_000, "X-Forwarded-For": "y" * 5_000})
    [line] = lines(caplog)
    assert (len(line["user_agent"]), len(line["forwarded_for"])) == (200, 200)


def test_a_request_that_failed_says_who_sent_it_too() -> None:
    said: dict[str, Any] = {}
    request = RequestFactory().get("/api/health", REMOTE_ADDR="203.0.113.7")
    bind_extra_request_failed_metadata.send(sender=None, request=request, log_kwargs=said)
    assert said["ip"] == "203.0.113.7"
