"""A named cast: Ada's agency, its roles, and Eve's agency next door, whom everything must be refused."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings
from psycopg import sql
from rest_framework.test import APIClient

from apps.ai.services import configuration
from apps.costs.services import rollups
from apps.messaging.models import Account
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.http_client import http
from tests.sandbox import processes
from tests.watermark import settled_before

# Other work on the machine makes no example wrong.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _other_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "_settled_before", settled_before)


@dataclass(frozen=True)
class Sandbox:
    """A stand-in server of apps/sandbox, running as a process of its own."""

    url: str

    def faults(self, **document: Any) -> None:
        http.put(f"{self.url}/faults", json=document).raise_for_status()

    def audit(self, **query: Any) -> dict[str, Any]:
        found: dict[str, Any] = http.get(f"{self.url}/audit", params=query).raise_for_status().json()
        return found


def empty_tables() -> list[str]:
    """The tables that hold nothing after the migrations."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as connection:
        rows = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        ).fetchall()
        exists = sql.SQL("SELECT EXISTS (SELECT FROM {})")
        return [
            name
            for (name,) in rows
            if connection.execute(exists.format(sql.SQL(name))).fetchone() == (False,)
        ]


def clear(tables: list[str], *, janitor: "psycopg.Connection") -> None:
    """Leave no rows in them, nor transactions of a test's threads; TRUNCATE takes ten times as long."""
    with janitor.transaction():
        names = sql.SQL(", ").join(map(sql.SQL, tables))
        janitor.execute(sql.SQL("LOCK {} IN ACCESS EXCLUSIVE MODE").format(names))
        janitor.execute(sql.SQL("; ").join(sql.SQL("DELETE FROM ") + sql.SQL(name) for name in tables))


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: Any) -> Iterator[None]:
    """Migrate the database that tests/services.py made; pytest-django's own way knows one role only."""
    # A test's own transaction stays open over all that the test does, however long that takes here.
    options = connections["default"].settings_dict["OPTIONS"]
    options["options"] += " -c idle_in_transaction_session_timeout=120s"
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0, interactive=False)
    tables = empty_tables()
    own = "-c lock_timeout=10s -c session_replication_role=replica"  # so that no trigger objects
    with (
        pytest.MonkeyPatch.context() as patch,
        psycopg.connect(os.environ["TEST_SUPERUSER_URL"], autocommit=True, options=own) as janitor,
    ):
        # Django's way is `flush` as the application's role, which may not truncate, and it would also
        # take what migrations have put there.
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: clear(tables, janitor=janitor))
        yield
    connections["default"].close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def own_pool(transactional_db: None) -> None:
    """A pool of connections that no thread of an earlier test has any of."""
    connections["default"].close()
    connections["default"].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's alone has one


@pytest.fixture(scope="session")
def gateway_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    data = str(tmp_path_factory.mktemp("gateway"))
    with processes.running("gateway", "--port", "0", "--data", data) as server:
        yield Sandbox(url=server.url)


@pytest.fixture
def gateway(gateway_process: Sandbox, settings: Any) -> Iterator[Sandbox]:
    """The platform's stand-in, empty and without faults, as the address of the real one."""
    settings.ONLYFANS_API_URL = f"{gateway_process.url}/gateway"
    http.post(f"{gateway_process.url}/reset").raise_for_status()
    yield gateway_process
    http.delete(f"{gateway_process.url}/faults").raise_for_status()


@pytest.fixture(scope="session")
def ai_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    data = str(tmp_path_factory.mktemp("ai"))
    with processes.running("ai", "--port", "0", "--data", data) as server:
        yield Sandbox(url=server.url)


@pytest.fixture
def ai_sandbox(ai_process: Sandbox, settings: Any) -> Iterator[Sandbox]:
    """The AI providers' stand-in, without faults, as the address of both."""
    settings.OPENAI_BASE_URL = f"{ai_process.url}/openai/v1"
    settings.OPENAI_API_KEY = settings.AZURE_OPENAI_API_KEY = "sandbox"
    settings.AZURE_OPENAI_ENDPOINT = f"{ai_process.url}/azure"
    yield ai_process
    http.delete(f"{ai_process.url}/faults").raise_for_status()


@pytest.fixture(autouse=True)
def _read_the_configuration_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets counts at once, and not in the next test."""
    monkeypatch.setattr(configuration, "FRESH", timedelta())


@pytest.fixture
def deployments(transactional_db: None, ai_sandbox: Sandbox) -> None:
    """Azure with the advanced model and OpenAI with the standard one, both priced, at the sandbox."""
    call_command("ensure_deployments", verbosity=0)


@pytest.fixture
def agency(db: None) -> Tenant:
    """Ada's: the tenant that tests act for."""
    return factories.tenant(name="Ada's agency")


@pytest.fixture
def stranger(db: None) -> Tenant:
    """Eve's: another tenant, who must not see or touch anything of Ada's."""
    return factories.tenant(name="Eve's agency")


@pytest.fixture
def account(agency: Tenant) -> Account:
    return factories.account(tenant=agency)


def client_of(tenant: Tenant, role: Role = Role.MANAGER) -> APIClient:
    with system_transaction():
        _, key = create_api_key(tenant=tenant, role=role)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


@pytest.fixture
def api(agency: Tenant) -> APIClient:
    """The API as Ada's manager."""
    return client_of(agency)


@pytest.fixture
def analyst_api(agency: Tenant) -> APIClient:
    """The API as somebody at Ada's who may only read."""
    return client_of(agency, Role.ANALYST)


@pytest.fixture
def stranger_api(stranger: Tenant) -> APIClient:
    return client_of(stranger)


def as_json(response: Any) -> Any:
    return json.loads(response.content)
