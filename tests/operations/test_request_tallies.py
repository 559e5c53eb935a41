"""The API's answers as web processes count them, and the alert where too many fail."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from apps.notifications.models import Level
from apps.notifications.services.rules import evaluate_rules
from apps.operations import tallying
from apps.operations.models import RequestTally
from apps.operations.services import request_tallies
from apps.operations.services.request_tallies import Count
from apps.tenants.system import system_transaction
from tests.costs.threads import at_once
from tests.http_client import http
from tests.live import PATIENCE_S, live_stack, query
from tests.notifications.alerting import alerts
from tests.services import HOME
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)
# The present: by the database's clock, what is older than an hour is forgotten.
NOW = timezone.now().replace(second=20, microsecond=0)
MINUTE = NOW.replace(second=0)


@pytest.fixture(autouse=True)
def _nothing_counted() -> Iterator[None]:
    tallying._counts.clear()
    yield
    tallying._counts.clear()


def tallies() -> dict[datetime, tuple[int, int]]:
    with system_transaction():
        return {each.minute: (each.requests, each.failed) for each in RequestTally.objects.all()}


def answered(number: int, *, failed: int, ago: timedelta = timedelta()) -> None:
    request_tallies.add({(NOW - ago).replace(second=0): Count(number, failed)})


def test_requests_are_counted_by_minute_and_a_5xx_as_failed() -> None:
    for status in (200, 404, 500, 503):
        tallying.count(path="/api/v2/campaigns", status=status, now=NOW)
    tallying.count(path="/api/v2/campaigns", status=502, now=NOW + timedelta(minutes=1))

    tallying.hand_over(now=NOW)
    tallying.hand_over(now=NOW)

    assert tallies() == {MINUTE: (4, 2), MINUTE + timedelta(minutes=1): (1, 1)}


@pytest.mark.parametrize("path", ["/admin/", "/static/x.css", "/api/health", "/api/health/x", "/api/metrics"])
def test_probes_and_pages_hide_nothing(path: str) -> None:
    tallying.count(path=path, status=200, now=NOW)
    tallying.hand_over(now=NOW)

    assert tallies() == {}


def test_the_middleware_counts_what_is_answered(client: Client) -> None:
    client.get("/api/v2/campaigns")
    client.get("/api/nothing")
    tallying.hand_over(now=timezone.now())

    assert sum(requests for requests, _ in tallies().values()) == 2


def test_processes_that_hand_over_at_once_lose_nothing() -> None:
    counts = {MINUTE - timedelta(minutes=step): Count(2, 1) for step in range(5)}

    at_once(8, lambda _: request_tallies.add(counts))

    assert set(tallies().values()) == {(16, 8)}


def test_counts_are_kept_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("away")

    tallying.count(path="/api/x", status=500, now=NOW)
    with monkeypatch.context() as patch:
        patch.setattr(request_tallies, "add", away)
        tallying.hand_over(now=NOW)
    tallying.count(path="/api/x", status=200, now=NOW)
    tallying.hand_over(now=NOW)

    assert tallies() == {MINUTE: (2, 1)}


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    answered(5, failed=5, ago=timedelta(hours=2))
    answered(1, failed=0)

    assert tallies() == {MINUTE: (1, 0)}


def test_a_process_whose_clock_is_ahead_forgets_nothing_of_the_others() -> None:
    ahead = NOW + timedelta(hours=2)
    for now in (NOW, ahead):
        tallying.count(path="/api/x", status=500, now=now)
        tallying.hand_over(now=now)

    assert tallies() == {MINUTE: (1, 1), ahead.replace(second=0): (1, 1)}


@pytest.mark.parametrize(
    ("requests", "failed", "level"),
    [
        (19, 19, None),
        (100, 5, None),
        (100, 6, Level.WARNING),
        (20, 2, Level.WARNING),
        (20, 10, Level.CRITICAL),
    ],
)
def test_more_than_five_percent_of_twenty_answers_are_told_of(
    requests: int, failed: int, level: Level | None
) -> None:
    answered(requests, failed=failed)

    evaluate_rules(now=NOW)
    evaluate_rules(now=NOW + timedelta(seconds=15))

    assert [alert.level for alert in alerts("api_error_rate")] == ([level] if level else [])


def test_failures_of_more_than_six_minutes_ago_are_not_told_of() -> None:
    answered(100, failed=100, ago=timedelta(minutes=7))

    evaluate_rules(now=NOW)

    assert alerts("api_error_rate") == []


def test_web_processes_hand_over_what_they_have_answered() -> None:
    with live_stack(HOME / "tallies", only=("web",)) as stack:
        for _ in range(3):
            http.get(f"{stack.base_url}/api/v2/campaigns")

        wait_until(
            lambda: query(stack, "SELECT sum(requests) FROM operations_requesttally") == [(3,)],
            seconds=PATIENCE_S,
            what="the tally of three requests",
        )
