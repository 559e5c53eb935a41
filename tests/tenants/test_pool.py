"""The pool of connections in bad times."""

import os
import threading

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
            " WHERE usename = current_user AND pid <> pg_backend_pid()"
        )

    statuses = []
    for _ in range(CONNECTIONS + 1):
        statuses.append(api.get("/api/v2/accounts").status_code)
        connection.close()  # as at the end of a real request
    assert statuses == [200] * (CONNECTIONS + 1)
