"""Health: what is down is named, soon, and without giving anything away."""

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.messaging.models import DispatchEpoch, DispatchWorker, PlatformState
from apps.operations import health, probes
from apps.tenants.system import system_transaction
from tests.conftest import as_json

HEALTH = "/api/health"
pytestmark = pytest.mark.django_db


@contextmanager
def mute_server(path: Path) -> Iterator[str]:
    """A socket that lets clients in and never says a word."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield str(path)


@pytest.fixture
def anybody(monkeypatch: pytest.MonkeyPatch) -> APIClient:
    """Whoever asks; each time anew, whatever the test before was told."""
    monkeypatch.setattr(health, "FRESH", timedelta(0))
    return APIClient()


def test_all_is_well(anybody: APIClient) -> None:
    response = anybody.get(HEALTH)
    assert response.status_code == 200
    checks = {
        **dict.fromkeys(["database", "migrations", "redis", "broker"], "ok"),
        "dispatch": "no dispatch worker is alive",
    }
    assert as_json(response) == {"status": "ok", "checks": checks}


@pytest.mark.django_db(transaction=True)
def test_how_dispatch_works_is_a_remark_and_takes_no_server_away(anybody: APIClient) -> None:
    def remark() -> str:
        response = anybody.get(HEALTH)
        assert (response.status_code, as_json(response)["status"]) == (200, "ok")
        return str(as_json(response)["checks"]["dispatch"])

    with system_transaction():
        DispatchWorker.objects.create(
            id=uuid7(), name="one", seen_at=timezone.now(), redis_since=timezone.now()
        )
    assert remark() == "ok"
    with system_transaction():
        DispatchWorker.objects.update(seen_at=timezone.now(), holds="the clocks differ")
        PlatformState.objects.create(platform="onlyfans", breaker="open")
        DispatchEpoch.objects.get_or_create(pk=1)
        DispatchEpoch.objects.update(mode="postgres")
    try:
        assert remark() == (
            "held: the clocks differ; limits are decided in PostgreSQL: slower, and exact; "
            "breaker not closed: onlyfans"
        )
    finally:
        with system_transaction():
            DispatchEpoch.objects.update(mode="redis")


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "nonsense"])
def test_it_answers_whatever_a_probe_accepts_and_sends(accept: str, anybody: APIClient) -> None:
    response = anybody.get(HEALTH, HTTP_ACCEPT=accept, HTTP_AUTHORIZATION="Bearer hz_unknown")
    assert response.status_code == 200


def test_redis_that_is_away_is_named_in_the_shape_of_every_error(anybody: APIClient, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    response = anybody.get(HEALTH)
    body = as_json(response)
    assert (response.status_code, body["status"], body["checks"]["database"]) == (503, "down", "ok")
    assert body["error"]["fields"] == {"redis": "does not answer"}
    assert b"nowhere" not in response.content


def test_a_broker_that_is_away_is_named(anybody: APIClient, settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere/redis.sock?virtual_host=0"
    assert as_json(anybody.get(HEALTH))["error"]["fields"] == {"broker": "does not answer"}


def test_a_rabbitmq_that_is_away_is_named(anybody: APIClient, settings: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        settings.CELERY_BROKER_URL = f"amqp://guest:guest@127.0.0.1:{unused.getsockname()[1]}//"
        assert as_json(anybody.get(HEALTH))["error"]["fields"] == {"broker": "does not answer"}


def test_a_database_that_is_away_is_named(anybody: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nowhere")
    fields = as_json(anybody.get(HEALTH))["error"]["fields"]
    assert fields == {"database": "does not answer", "migrations": "does not answer"}


def test_servers_that_never_answer_hold_nobody_up(
    anybody: APIClient, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with mute_server(Path("redis")), mute_server(Path(".s.PGSQL.5432")):
        settings.REDIS_URL = f"unix://{os.path.relpath('redis', '/')}"
        monkeypatch.setattr(health, "DEADLINE", health.TIMEOUT)
        monkeypatch.setitem(connection.settings_dict, "HOST", str(tmp_path))
        down = health.check_health().down
    assert set(down) == {"database", "migrations", "dispatch", "redis"}


def test_a_migration_that_is_not_applied_is_named(anybody: APIClient) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        deleted = owner.execute(
            "DELETE FROM django_migrations WHERE app = 'messaging' AND name = '0001_initial' RETURNING id"
        )
        [number] = deleted.fetchone() or [0]
        owner.commit()
        try:
            fields = as_json(anybody.get(HEALTH))["error"]["fields"]
        finally:
            owner.execute(
                "INSERT INTO django_migrations VALUES (%s, 'messaging', '0001_initial', now())", [number]
            )
    assert list(fields) == ["migrations"]
    assert "messaging.0001_initial" in fields["migrations"]


def test_an_apps_own_check_takes_part(anybody: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise health.NotReadyError("out of paper")

    monkeypatch.setattr(probes, "health_checks", probes.health_checks | {})
    monkeypatch.setattr(health, "health_checks", probes.health_checks)
    probes.register_health_check("printer", fail)
    assert as_json(anybody.get(HEALTH))["error"]["fields"] == {"printer": "out of paper"}


def test_many_who_ask_at_once_cost_one_check(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr(health, "FRESH", timedelta(minutes=1))
    monkeypatch.setitem(probes.health_checks, "ours", lambda: asked.append(None))
    recent = health.Recent(health.check_health)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _number: recent.get(), range(8)))
    assert len(asked) == 1
    assert all(answer is answers[0] for answer in answers)
