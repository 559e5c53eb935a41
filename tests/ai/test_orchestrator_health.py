"""GET /api/health/hybrid-orchestrator: whether questions can be answered, and by whom."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.ai.health import LATE, DeploymentHealth, QueueHealth, judge
from apps.ai.models import Deployment, Generation
from apps.ai.routing import Candidate
from apps.ai.services import deployments as services
from apps.ai.services.breakers import breakers, force_breaker
from apps.common.breaker.rules import Report, Result, State
from apps.common.ids import uuid7
from apps.operations import health
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import ask
from tests.ai.breakers import cool_down, fail, probe
from tests.conftest import as_json

PATH = "/api/health/hybrid-orchestrator"
# What is asked on a connection of its own sees committed rows alone.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anybody(monkeypatch: pytest.MonkeyPatch, deployments: None) -> APIClient:
    """Whoever asks; each time anew, whatever the test before was told."""
    monkeypatch.setattr(health, "FRESH", timedelta(0))
    return APIClient()


def deployment(name: str) -> Deployment:
    return Deployment.objects.get(name=name)


def seen(client: APIClient, name: str) -> dict[str, Any]:
    (found,) = [each for each in as_json(client.get(PATH))["deployments"] if each["name"] == name]
    return dict(found)


def test_all_is_well(anybody: APIClient) -> None:
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (response.status_code, answer["status"], answer["problems"]) == (200, "ok", [])
    assert answer["providers"] == {"azure": "configured", "openai": "configured"}
    assert answer["queue"] == {"pending": 0, "running": 0, "oldest_due_age_s": 0}
    assert seen(anybody, "azure") == {
        "name": "azure",
        "provider": "azure",
        "model": "gpt-4o",
        "model_class": "advanced",
        "enabled": True,
        "obstacle": "",
        "breaker": "closed",
        "breaker_held": None,
        "breaker_since": None,
        "probe_in_s": None,
        "cool_down_s": None,
        "last_success_at": None,
    }


def test_a_deployment_that_cannot_be_called_degrades_it(anybody: APIClient) -> None:
    fail(deployment("azure"))
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (response.status_code, answer["status"]) == (200, "degraded")
    assert answer["problems"] == ["azure can't be called: its breaker is open."]
    found = seen(anybody, "azure")
    assert (found["breaker"], found["obstacle"]) == ("open", "its breaker is open")
    assert 0 < found["probe_in_s"] <= 60


def test_a_breaker_that_an_operator_holds_is_told_from_one_that_failures_opened(anybody: APIClient) -> None:
    before = timezone.now()
    force_breaker(deployment=deployment("azure"), state=State.OPEN, by=uuid7(), reason="They rebuild it.")
    fail(deployment("openai"))
    held, failed = seen(anybody, "azure"), seen(anybody, "openai")
    assert (held["breaker"], held["breaker_held"], held["probe_in_s"]) == ("open", "open", None)
    assert (failed["breaker"], failed["breaker_held"]) == ("open", None)
    assert held["obstacle"] == "an operator holds its breaker open"
    assert failed["obstacle"] == "its breaker is open"
    assert datetime.fromisoformat(held["breaker_since"]) >= before - timedelta(seconds=1)
    assert b"rebuild" not in anybody.get(PATH).content
    force_breaker(deployment=deployment("azure"), state=State.CLOSED, by=uuid7(), reason="")
    closed = seen(anybody, "azure")
    assert (closed["breaker"], closed["breaker_held"], closed["obstacle"]) == ("closed", "closed", "")


def test_a_pause_that_the_provider_asked_for_is_told_with_its_rest(anybody: APIClient) -> None:
    cool_down(deployment("openai"), 300)
    found = seen(anybody, "openai")
    assert found["breaker"] == "closed"
    assert 0 < found["cool_down_s"] <= 300
    assert found["obstacle"] == "its provider asked for a pause"


def test_a_half_open_breaker_that_lets_a_probe_go_is_no_obstacle(anybody: APIClient, settings: Any) -> None:
    settings.BREAKER_RECOVERY = timedelta()
    fail(deployment("azure"))
    breakers().record(probe(deployment("azure")), Report(Result.SUCCESS))
    assert seen(anybody, "azure")["breaker"] == "half_open"
    assert as_json(anybody.get(PATH))["status"] == "ok"


def test_when_nobody_can_be_called_it_is_down(anybody: APIClient) -> None:
    fail(deployment("azure"))
    cool_down(deployment("openai"), 300)
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (response.status_code, answer["status"], answer["error"]["code"]) == (503, "down", "unavailable")
    assert response["Retry-After"] == "5"
    assert "azure can't be called" in answer["error"]["message"]


def test_a_provider_without_a_key_is_told_without_its_name_in_the_environment(
    anybody: APIClient, settings: Any
) -> None:
    settings.OPENAI_API_KEY = ""
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (answer["status"], answer["providers"]["openai"]) == ("degraded", "not configured")
    assert b"OPENAI_API_KEY" not in response.content


def test_a_deployment_that_is_switched_off_is_no_problem_but_the_last_one_is(anybody: APIClient) -> None:
    with system_transaction():
        Deployment.objects.filter(name="azure").update(enabled=False)
    answer = as_json(anybody.get(PATH))
    assert (answer["status"], answer["problems"]) == ("ok", [])
    assert seen(anybody, "azure")["obstacle"] == "disabled"
    with system_transaction():
        Deployment.objects.update(enabled=False)
    assert anybody.get(PATH).status_code == 503


def test_a_deployment_that_a_refusal_disabled_is_a_problem_until_an_operator_has_seen_to_it(
    anybody: APIClient, agency: Tenant
) -> None:
    refused = deployment("openai")
    candidate = Candidate(refused.pk, "openai", "openai", refused.model, refused.model_class, refused.model)
    services.disable(candidate, reason="invalid key sk-1234", tenant_id=agency.pk, now=timezone.now())
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (response.status_code, answer["status"]) == (200, "degraded")
    assert answer["problems"] == ["openai was disabled: it refused our key, or has no credit for us."]
    assert seen(anybody, "openai")["obstacle"] == "disabled: it refused our key, or has no credit for us"
    assert b"sk-1234" not in response.content
    with system_transaction():
        services.forget_why_disabled(deployment=refused)
    answer = as_json(anybody.get(PATH))
    assert (answer["status"], answer["problems"]) == ("ok", [])


def test_the_last_success_is_a_providers_and_the_newest(anybody: APIClient, agency: Tenant) -> None:
    now = timezone.now()
    ends = {"older": (2, "provider", "succeeded"), "newer": (1, "provider", "succeeded")}
    ends |= {"cached": (0, "cache", "succeeded"), "failed": (0, "", "failed")}
    for hours, source, state in ends.values():
        row = ask(agency)
        with system_transaction():
            Generation.objects.filter(pk=row.pk).update(
                state=state,
                source=source,
                deployment=deployment("azure"),
                finished_at=now - timedelta(hours=hours),
            )
    found = seen(anybody, "azure")["last_success_at"]
    assert found == (now - timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert seen(anybody, "openai")["last_success_at"] is None


def test_the_queue_counts_what_is_open_and_how_long_the_oldest_has_waited(
    anybody: APIClient, agency: Tenant
) -> None:
    now = timezone.now()
    rows = [ask(agency, priority=priority) for priority in (0, 1, 2, 2)]
    with system_transaction():
        # One is being worked on, and one was left by a process that died.
        Generation.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(
            state="running", lease_expires_at=now + timedelta(minutes=1)
        )
        Generation.objects.filter(pk=rows[1].pk).update(
            lease_expires_at=now - timedelta(seconds=1), created_at=now - timedelta(minutes=5)
        )
    answer = as_json(anybody.get(PATH))
    assert (answer["queue"]["pending"], answer["queue"]["running"]) == (2, 2)
    assert 300 <= answer["queue"]["oldest_due_age_s"] < 330
    assert answer["status"] == "degraded"


def test_without_the_database_it_is_down_and_says_nothing_more(
    anybody: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    response = anybody.get(PATH)
    answer = as_json(response)
    assert (response.status_code, answer["status"], answer["queue"]) == (503, "down", None)
    assert answer["problems"] == ["The database does not answer."]
    assert b"nowhere" not in response.content


EMBEDDER = DeploymentHealth("e", "openai", "m", "embedding", True, "", "closed", *[None] * 5)
WRITER = replace(EMBEDDER, name="w", model_class="standard")
IDLE = QueueHealth(0, 0, timedelta())


@pytest.mark.parametrize(
    ("deployments", "queue", "status"),
    [
        ([WRITER, EMBEDDER], IDLE, "ok"),
        ([WRITER, replace(EMBEDDER, obstacle="x")], IDLE, "degraded"),
        ([replace(WRITER, obstacle="x"), EMBEDDER], IDLE, "down"),
        ([EMBEDDER], IDLE, "down"),
        ([], IDLE, "down"),
        ([WRITER], QueueHealth(9, 0, LATE), "ok"),
        ([WRITER], QueueHealth(1, 0, LATE + timedelta(seconds=1)), "degraded"),
    ],
)
def test_the_verdict(deployments: list[DeploymentHealth], queue: QueueHealth, status: str) -> None:
    assert judge(deployments, queue)[0] == status
