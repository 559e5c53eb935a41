"""The configuration that a process keeps, as its first callers read it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from apps.ai.services.configuration import Configuration, _Kept
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


def test_who_is_in_a_transaction_does_not_wait_for_the_one_who_reads(agency: Tenant) -> None:
    """The reader may need the connection that the transaction holds."""
    kept: Any = _Kept()

    def read() -> Configuration:
        with tenant_transaction(agency):
            found: Configuration = kept.get()
        connection.close()
        return found

    with ThreadPoolExecutor(1) as pool:
        kept._reading.acquire()
        try:
            found = pool.submit(read).result(20)
        finally:
            kept._reading.release()
    assert {each.name for each in found.deployments} == {"azure", "openai"}
