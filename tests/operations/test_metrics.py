"""What Prometheus scrapes."""

import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.costs.models import LedgerEntry
from apps.messaging.models import DispatchWorker, PlatformState, SendBlock
from apps.operations.services import dead_letters
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import QUEUES, app
from tests import factories
from tests.scraping import scrape
from tests.services import ROOT
from tests.unmeasured import unmeasured

pytestmark = pytest.mark.django_db


def test_requests_are_counted_and_timed_under_the_names_that_dashboards_use() -> None:
    before = scrape()
    client = APIClient()
    client.get("/api/v2/nothing")
    client.generic("BREW", "/api/health")
    after = scrape()

    def grown(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert grown("huntaze_requests_total", "GET", "404") == 1
    assert grown("huntaze_requests_total", "other", "405") == 1
    # The first scrape itself has ended since.
    assert grown("huntaze_requests_total", "GET", "200") == 1
    assert grown("huntaze_request_duration_seconds_count") == 3


def test_messages_are_counted_by_state_single_ones_and_campaigns(agency: Tenant) -> None:
    account = factories.account(tenant=agency)
    fans, now = factories.fans(3, account=account), timezone.now()
    factories.message(fan=fans[0])
    factories.message(fan=fans[1], state="dead", finished_at=now)
    box = factories.outbox(tenant=agency, queued=5, sent=7)
    factories.message(fan=fans[2], outbox=box)  # counted by its outbox
    found = scrape()
    counts = {state: found["huntaze_messages", state] for state in ("queued", "sent", "dead", "unknown")}
    assert counts == {"queued": 6, "sent": 7, "dead": 1, "unknown": 0}


def test_the_age_of_the_oldest_due_work_leaves_out_what_is_paused(agency: Tenant) -> None:
    now = timezone.now()
    assert scrape()["huntaze_queue_oldest_due_age_seconds", "dispatch"] == 0
    factories.account(tenant=agency, next_due=now - timedelta(seconds=90))
    factories.account(tenant=agency, next_due=now - timedelta(days=1), paused_at=now)
    factories.account(tenant=factories.tenant(paused_at=now), next_due=now - timedelta(days=2))
    assert 90 <= scrape()["huntaze_queue_oldest_due_age_seconds", "dispatch"] < 120


def test_the_dispatcher_says_who_decides_who_works_and_what_is_in_the_way() -> None:
    now = timezone.now()
    before = scrape()
    assert (before["huntaze_dispatch_mode", "redis"], before["huntaze_dispatch_mode", "postgres"]) == (1, 0)
    assert (before["huntaze_dispatch_workers",], before["huntaze_dispatch_held",]) == (0, 1)
    assert before["huntaze_circuit_breaker_state", "onlyfans"] == 0
    assert ("huntaze_dispatch_clock_skew_seconds", "low") not in before
    measured = {"seen_at": now, "redis_since": now, "skew_low_us": -1500, "skew_high_us": 250}
    with system_transaction():
        DispatchWorker.objects.create(id=uuid7(), name="one", **measured)
        DispatchWorker.objects.create(id=uuid7(), name="two", **{**measured, "skew_low_us": -900})
        DispatchWorker.objects.create(
            id=uuid7(),
            name="gone",
            **{**measured, "seen_at": now - timedelta(minutes=1), "skew_low_us": -(9**9)},
        )
        PlatformState.objects.create(platform="onlyfans", breaker="open", paused_at=now)
        SendBlock.objects.create(layer="tenant", subject_id=uuid7(), until=now + timedelta(minutes=1))
        SendBlock.objects.create(layer="tenant", subject_id=uuid7(), until=now - timedelta(minutes=1))
    after = scrape()
    assert (after["huntaze_dispatch_workers",], after["huntaze_dispatch_held",]) == (2, 0)
    assert after["huntaze_circuit_breaker_state", "onlyfans"] == 2
    assert after["huntaze_platform_paused", "onlyfans"] == 1
    skew = {bound: after["huntaze_dispatch_clock_skew_seconds", bound] for bound in ("low", "high")}
    assert skew == {"low": -0.0015, "high": 0.00025}
    blocked = [after["huntaze_dispatch_blocked_layers", layer] for layer in ("user", "tenant", "global")]
    assert blocked == [0, 1, 0]


def test_open_dead_letters_are_counted() -> None:
    dead_letters.record(
        task="tasks.x", task_id="1", queue="ai", args=[], kwargs={}, error="E", traceback="", attempts=6
    )
    assert scrape()["huntaze_dead_letters_open",] == 1


def test_the_depth_of_every_queue_is_known() -> None:
    before = scrape()
    assert all(("huntaze_queue_depth", queue) in before for queue in QUEUES)
    with app.connection_for_write() as broker:
        queue = next(queue for queue in app.conf.task_queues if queue.name == "notifications")
        bound = queue(broker.default_channel)
        bound.declare()
        producer = broker.Producer()
        producer.publish({"hello": 1}, exchange=queue.exchange, routing_key=queue.routing_key)
        try:
            assert scrape()["huntaze_queue_depth", "notifications"] == 1
        finally:
            bound.purge()
    assert scrape()["huntaze_queue_depth", "notifications"] == 0


def test_a_broker_that_is_away_costs_its_figures_and_no_others(settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere/redis.sock?virtual_host=0"
    found = scrape()
    assert ("huntaze_queue_depth", "ai") not in found
    assert found["huntaze_source_up", "broker"] == 0
    assert found["huntaze_source_up", "messages"] == 1


def test_a_database_that_is_away_costs_its_figures_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    found = scrape()
    assert ("huntaze_messages", "queued") not in found
    assert found["huntaze_source_up", "messages"] == 0
    assert found["huntaze_source_up", "broker"] == 1


def test_the_ledgers_month_gives_cost_and_tokens(agency: Tenant) -> None:
    price = factories.price()
    with system_transaction():
        LedgerEntry.objects.create(
            tenant_id=agency.pk,
            provider="openai",
            model="gpt-3.5-turbo",
            task_kind="message",
            occurred_at=timezone.now(),
            generation_id=agency.pk,
            attempt=1,
            price=price,
            input_tokens=100,
            output_tokens=20,
            amount=Decimal("0.00008"),
        )
    found = scrape()
    # Labels in their order: currency or kind, model, provider.
    assert found["huntaze_ai_provider_cost", "USD", "gpt-3.5-turbo", "openai"] == pytest.approx(0.00008)
    assert found["huntaze_ai_token_usage", "input", "gpt-3.5-turbo", "openai"] == 100
    assert found["huntaze_ai_token_usage", "output", "gpt-3.5-turbo", "openai"] == 20


COUNT = """
import django
django.setup()
from apps.operations.middleware import requests_total
requests_total.labels("GET", 200).inc(3)
"""
SHOW = """
import django, prometheus_client
django.setup()
from apps.operations.metrics import registry
print(prometheus_client.generate_latest(registry()).decode())
"""


def test_what_several_processes_count_is_added_up(tmp_path: Path) -> None:
    environment = {
        **unmeasured(),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "huntaze.settings",
    }

    def python(code: str) -> str:
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, cwd=ROOT, check=True, text=True, stdout=-1).stdout

    python(COUNT)
    python(COUNT)
    assert 'huntaze_requests_total{method="GET",status="200"} 6.0' in python(SHOW)
