"""The pool of connections in bad times."""

import os
import threading
from io import BytesIO
from typing import Any

import psycopg
import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common import connections
from apps.common.clock import database_now
from apps.common.ids import uuid7
from apps.tenants.doors import call_for_tenant
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.pools import pool_is_whole
from tests.waiting import wait_until

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
@pytest.mark.usefixtures("own_pool")
def test_a_statement_that_was_sent_is_carried_out_by_whoever_hears_of_it() -> None:
    connection.close()
    first, second = (connections.Sent("SELECT %s::int AS number", [number]) for number in (1, 2))
    assert second.row() == second.row() == {"number": 2}
    assert first.row() == {"number": 1}
    first.close()
    wait_until(pool_is_whole, seconds=20, what="both to be back")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_pool")
def test_a_statement_that_nobody_waits_for_keeps_no_connection() -> None:
    connection.close()
    connections.Sent("SELECT pg_sleep(20)", []).close()
    assert connections.row_of("SELECT 1 AS one", []) == {"one": 1}
    wait_until(pool_is_whole, seconds=20, what="another one in its place")


@pytest.mark.django_db(transaction=True)
def test_what_is_sent_while_the_thread_has_a_connection_leaves_that_free() -> None:
    with system_transaction():
        sent = connections.Sent("SELECT txid_current() AS transaction", [])
        here = connections.row_of("SELECT txid_current() AS transaction", [])
        assert sent.row() == here


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("own_pool")
def test_what_fails_says_so_when_it_is_heard() -> None:
    connection.close()
    sent = connections.Sent("SELECT 1 / %s::int AS number", [0])
    with pytest.raises(DataError, match="division by zero"):
        sent.row()
    wait_until(pool_is_whole, seconds=20, what="it to be back")


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
