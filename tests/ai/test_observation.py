"""What is counted of the AI's work, as Prometheus reads it."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.ai import observation
from apps.ai.models import Deployment
from apps.messaging.models import PlatformState
from apps.tenants.system import system_transaction
from tests import factories
from tests.ai.breakers import fail, probe
from tests.scraping import Samples, read_samples, scrape
from tests.services import ROOT
from tests.unmeasured import unmeasured


def grown(before: Samples, *key: str) -> float:
    return scrape().get(key, 0) - before.get(key, 0)


@pytest.mark.django_db
def test_an_attempt_is_timed_by_provider_model_and_outcome() -> None:
    before = scrape()
    for seconds in (0.3, 0.7):
        observation.attempt_ended(provider="azure", model="gpt-4o", outcome="ok", seconds=seconds)
    observation.attempt_ended(provider="azure", model="gpt-4o", outcome="timeout", seconds=5)
    name, labels = "huntaze_ai_request_duration_seconds", ("gpt-4o", "ok", "azure")
    assert grown(before, f"{name}_count", *labels) == 2
    assert grown(before, f"{name}_sum", *labels) == pytest.approx(1)
    assert grown(before, f"{name}_count", "gpt-4o", "timeout", "azure") == 1
    # A bucket's own label comes first.
    assert grown(before, f"{name}_bucket", "0.5", *labels) == 1


@pytest.mark.django_db
def test_a_question_is_counted_by_its_end_and_our_part_of_its_time_is_timed() -> None:
    before = scrape()
    observation.generation_ended(
        task_kind="caption", source="cache", state="succeeded", seconds=0.002, overhead_seconds=0.002
    )
    observation.generation_ended(
        task_kind="caption", source="", state="failed", seconds=7, overhead_seconds=0.03
    )
    assert grown(before, "huntaze_ai_generations_total", "succeeded", "cache", "caption") == 1
    assert grown(before, "huntaze_ai_generations_total", "failed", "", "caption") == 1
    assert grown(before, "huntaze_ai_overhead_seconds_sum") == pytest.approx(0.032)
    assert grown(before, "huntaze_ai_generation_duration_seconds_sum", "failed", "caption") == pytest.approx(
        7
    )


@pytest.mark.django_db
def test_joins_flights_waits_and_fallbacks_are_counted() -> None:
    before = scrape()
    observation.join_ended(outcome="answered")
    observation.flight_ended(outcome="abandoned")
    observation.hold_waited(seconds=0.25)
    observation.fell_back(origin="azure", target="openai", kind="timeout")
    assert grown(before, "huntaze_ai_joins_total", "answered") == 1
    assert grown(before, "huntaze_ai_flights_total", "abandoned") == 1
    assert grown(before, "huntaze_ai_hold_wait_seconds_sum") == pytest.approx(0.25)
    # Labels in their order: from, kind, to.
    assert grown(before, "huntaze_ai_fallbacks_total", "azure", "timeout", "openai") == 1


COUNT = """
import django
django.setup()
from apps.ai import observation
for hit in {hits}:
    observation.cache_looked_up(hit=hit)
"""
SHOW = """
import django, prometheus_client
django.setup()
from apps.operations.metrics import registry
print(prometheus_client.generate_latest(registry()).decode())
"""


def test_the_hit_ratio_is_that_of_all_processes_and_absent_before_the_first_look(tmp_path: Path) -> None:
    environment = {
        **unmeasured(),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "huntaze.settings",
    }

    def python(code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, cwd=ROOT, check=True, text=True, stdout=-1).stdout

    assert ("huntaze_cache_hit_ratio",) not in read_samples(python(SHOW))
    python(COUNT.format(hits=[True, True, False]))
    python(COUNT.format(hits=[True]))
    found = read_samples(python(SHOW))
    assert found["huntaze_cache_hit_ratio",] == 0.75
    assert found["huntaze_ai_cache_lookups_total", "hit"] == 3


@pytest.mark.django_db
def test_the_hit_ratio_is_there_in_one_process_too() -> None:
    observation.cache_looked_up(hit=True)
    assert 0 < scrape()["huntaze_cache_hit_ratio",] <= 1


@pytest.mark.django_db
def test_breakers_of_deployments_and_of_platforms_are_one_family(settings: Any) -> None:
    one, two, three = (factories.deployment(name=name) for name in ("azure-eu", "azure-us", "spare"))
    factories.deployment(name="switched-off", enabled=False)
    with system_transaction():
        PlatformState.objects.create(platform="onlyfans", breaker="open")
    settings.BREAKER_RECOVERY = timedelta()
    fail(two)
    probe(two)
    settings.BREAKER_RECOVERY = timedelta(minutes=1)
    fail(one)
    found = scrape()
    states = {key[1]: value for key, value in found.items() if key[0] == "huntaze_circuit_breaker_state"}
    assert Deployment.objects.count() == 4
    assert states.pop("onlyfans") == 2
    platforms = {"instagram", "tiktok"}
    assert {name: state for name, state in states.items() if name not in platforms} == {
        one.name: 2,
        two.name: 1,
        three.name: 0,
    }


@pytest.mark.django_db
def test_a_deployment_that_nobody_may_call_is_still_seen() -> None:
    factories.deployment(name="azure-eu")
    factories.deployment(name="refused", enabled=False, disabled_reason="it refused our key")
    factories.deployment(name="switched-off", enabled=False)
    enabled = {key[1]: value for key, value in scrape().items() if key[0] == "huntaze_deployment_enabled"}
    assert enabled == {"azure-eu": 1, "refused": 0, "switched-off": 0}


@pytest.mark.django_db
def test_a_family_of_several_sources_is_described_once() -> None:
    factories.deployment()
    text = APIClient().get("/api/metrics").content.decode()
    assert text.count("# TYPE huntaze_circuit_breaker_state gauge") == 1
