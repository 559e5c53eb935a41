"""The pool of connections in bad times."""

import os
import threading
from io import BytesIO

import psycopg
import pytest
from django.db import connection
from rest_framework.test import APIClient

from apps.tenants.system import system_transaction

CONNECTIONS = 4


@pytest.mark.django_db(transaction=True)
def test_after_a_restart_of_the_database_no_request_fails(api: APIClient) -> None:
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

    statuses = []
    for _ in range(CONNECTIONS + 1):
        statuses.append(api.get("/api/v2/accounts").status_code)
        connection.close()  # as at the end of a real request
    assert statuses == [200] * (CONNECTIONS + 1)


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
