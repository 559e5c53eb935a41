"""The queue `dispatch` with a real broker and a real worker."""

from collections.abc import Iterator

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connection
from django.utils import timezone

from apps.messaging.models import Account
from apps.tenants.models import Tenant
from huntaze.celery import app
from tasks import dispatch
from tests import factories
from tests.conftest import Sandbox
from tests.messaging import dispatching as d
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker() -> Iterator[None]:
    """A worker of the queue `dispatch`, as the stack starts it, but in this process."""
    app.control.purge()
    with start_worker(app, pool="threads", concurrency=4, queues=["dispatch"], perform_ping_check=False):
        yield
    with dispatch._claiming:
        # Only now has it come to the end of its last claim.
        connection.close()


@pytest.mark.usefixtures("worker")
def test_one_tick_sends_whatever_is_due(gateway: Sandbox, agency: Tenant) -> None:
    outbox = d.outbox_of(agency)
    for _ in range(120):  # more accounts than one claim visits
        account = factories.account(tenant=agency)
        d.enqueue(account, 1, outbox=outbox)

    dispatch.claim_due_messages.delay()

    wait_until(lambda: d.fresh(outbox).sent == 120, seconds=20, what="120 messages sent")
    assert gateway.audit()["accepted"] == 120


@pytest.mark.usefixtures("worker")
def test_the_sweep_finds_what_a_lost_task_left(gateway: Sandbox, account: Account) -> None:
    outbox = d.enqueue(account, 2, now=timezone.now())
    d.change(account, next_due=None)

    dispatch.sweep_messages.delay()
    wait_until(lambda: d.fresh(account).next_due, seconds=20, what="the sweep")
    dispatch.claim_due_messages.delay()

    wait_until(lambda: d.fresh(outbox).sent == 2, seconds=20, what="2 messages sent")
