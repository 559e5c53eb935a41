"""The pool of connections in bad times."""

import os
import threading
from io import BytesIO
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common import connections
from apps.common.clock import database_now
from apps.common.ids import uuid7
from apps.tenants.doors import call_for_tenant
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

CONNECTIONS = 4


def end_all_connections() -> None:
    """Fill the pool, and have the server end every connection in it, as a restart would."""
    together = threading.Barrier(CONNECTIONS)

    def use() -> None:
        with system_transaction():
            together.wait()
        connection.close()

    threads = [threading.Thread(target=use) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connection.close()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.django_db(transaction=True)
def test_after_a_restart_of_the_database_no_request_fails(api: APIClient) -> None:
    end_all_connections()

    statuses = []
    for _ in range(CONNECTIONS + 1):
        statuses.append(api.get("/api/v2/accounts").status_code)
        connection.close()  # as at the end of a real request
    assert statuses == [200] * (CONNECTIONS + 1)


@pytest.mark.django_db(transaction=True)
def test_after_a_restart_of_the_database_no_call_fails(agency: Tenant) -> None:
    end_all_connections()

    for _ in range(CONNECTIONS + 1):
        assert call_for_tenant(agency, "costs_release_hold", uuid7(), timezone.now()) == {"called": False}
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_after_a_restart_of_the_database_its_time_can_be_read() -> None:
    end_all_connections()

    times = []
    for _ in range(CONNECTIONS + 1):
        times.append(database_now())
        connection.close()
    assert times == sorted(times)


@pytest.mark.django_db(transaction=True)
def test_a_call_that_fails_by_itself_is_not_sent_again(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def ask(lent: Any, statement: str, values: list[Any]) -> dict[str, Any]:
        sent.append(statement)
        return carry_out(lent, statement, values)

    carry_out = connections._ask
    monkeypatch.setattr(connections, "_ask", ask)
    with psycopg.connect(os.environ["DATABASE_URL"]) as other:
        other.execute(f"SELECT pg_advisory_xact_lock(hashtextextended('budgets of {agency.pk}', 0))")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            call_for_tenant(agency, "costs_release_hold", uuid7(), timezone.now())
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")

    assert len(sent) == 1


class Watched(BytesIO):
    """A body that notes, when it is read, whether the request has a connection."""

    connected: bool | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.connected = connection.connection is not None
        return super().read(size)


@pytest.mark.django_db(transaction=True)
def test_a_slow_sender_holds_no_connection(api: APIClient) -> None:
    body = Watched(b"{}")
    response = api.generic(
        "POST",
        "/api/v2/accounts",
        content_type="application/json",
        **{"wsgi.input": body, "CONTENT_LENGTH": "2"},  # type: ignore[arg-type]  # the stubs know no environ
    )
    assert response.status_code == 400
    assert body.connected is False
