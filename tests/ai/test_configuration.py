"""The configuration that a process keeps, as its first callers read it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import TaskPreference
from apps.ai.services import configuration
from apps.ai.services.configuration import Configuration, _Kept
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

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


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def preference(tenant: Tenant, fresh: timedelta) -> TaskPreference:
    with system_transaction():
        return TaskPreference.objects.create(
            tenant_id=tenant.pk, task_kind="caption", fresh=fresh, stale=fresh
        )


def kept_for(tenant: Tenant) -> tuple[timedelta, int]:
    """For how long the tenant's captions are kept, and how often the rows were read to know it."""
    with CaptureQueriesContext(connection) as captured:
        found = configuration.current().ttl(tenant.pk, "caption")
    rows = [each for each in captured.captured_queries if '"ai_taskpreference"."fresh"' in each["sql"]]
    return found.fresh, len(rows)


def test_preferences_of_all_tenants_are_read_again_only_once_one_has_changed(
    agency: Tenant, stranger: Tenant
) -> None:
    mine = preference(agency, HOUR)
    kept_for(agency)
    assert kept_for(agency) == (HOUR, 0)

    with tenant_transaction(agency):
        TaskPreference.objects.filter(pk=mine.pk).update(fresh=DAY, stale=DAY)
    assert [kept_for(agency), kept_for(agency)] == [(DAY, 1), (DAY, 0)]

    theirs = preference(stranger, HOUR)
    assert [kept_for(stranger), kept_for(agency)] == [(HOUR, 1), (DAY, 0)]

    with system_transaction():
        theirs.delete()
        TaskPreference.objects.filter(pk=mine.pk).update(fresh=HOUR, stale=HOUR)
    usual = TTLS["caption"].fresh
    assert [kept_for(stranger), kept_for(agency)] == [(usual, 1), (HOUR, 0)]


def test_a_change_that_is_not_committed_is_not_kept(agency: Tenant) -> None:
    """Neither is what was there before it kept for longer than it is there."""
    kept_for(agency)
    with tenant_transaction(agency):
        TaskPreference.objects.create(tenant_id=agency.pk, task_kind="caption", fresh=DAY, stale=DAY)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(_elsewhere, agency).result(20) == TTLS["caption"]
    assert _elsewhere(agency) == Ttl(DAY, DAY)


def _elsewhere(tenant: Tenant) -> Ttl:
    try:
        return configuration.current().ttl(tenant.pk, "caption")
    finally:
        connection.close()
