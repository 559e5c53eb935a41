"""Getting messages into an outbox, and stopping it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Outbox
from apps.messaging.services import messages, outboxes
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests import factories
from tests.conftest import Sandbox
from tests.messaging import dispatching as d

pytestmark = pytest.mark.django_db(transaction=True)


def enqueue_template(
    outbox: Outbox, account: Account, *, after: UUID | None = None, limit: int = 5000, body: str = "Hi"
) -> UUID | None:
    now = timezone.now()
    with tenant_transaction(account.tenant_id):
        return outboxes.enqueue_template(
            outbox=outbox,
            account_id=account.pk,
            body=body,
            fans=Fan.objects.filter(consent=True),
            price=None,
            not_before=now,
            after=after,
            limit=limit,
            now=now,
        )


def test_a_template_goes_to_every_fan_chunk_by_chunk(agency: Tenant, account: Account) -> None:
    fans = factories.fans(5, account=account)
    factories.fan(account=account, consent=False)
    factories.fans(2, account=factories.account(tenant=agency))
    outbox = d.outbox_of(agency, priority=Priority.LOW)

    after, chunks = enqueue_template(outbox, account, limit=2), 1
    while after := enqueue_template(outbox, account, after=after, limit=2):
        chunks += 1

    assert chunks == 3
    assert d.counts(outbox) == {"queued": 5}
    queued = d.rows(outbox=outbox)
    assert {message.fan_id for message in queued} == {fan.pk for fan in fans}
    assert {message.priority for message in queued} == {Priority.LOW}
    assert d.fresh(account).next_due <= timezone.now()


def test_a_chunk_that_is_repeated_adds_nothing(agency: Tenant, account: Account) -> None:
    factories.fans(3, account=account)
    outbox = d.outbox_of(agency)

    assert enqueue_template(outbox, account) == enqueue_template(outbox, account)

    assert d.counts(outbox) == {"queued": 3}


def test_the_same_chunk_twice_at_once_is_counted_once(agency: Tenant, account: Account) -> None:
    factories.fans(50, account=account)
    outbox = d.outbox_of(agency)
    together = Barrier(4)

    def run() -> None:
        together.wait()
        enqueue_template(outbox, account)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(run) for _ in range(4)]:
            each.result()

    assert d.counts(outbox) == {"queued": 50}


def test_texts_that_are_repeated_are_not_counted_again(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    outbox = d.outbox_of(agency)
    fans = factories.fans(3, account=account)

    def enqueue(some: list[Fan]) -> UUID | None:
        with tenant_transaction(agency):
            return outboxes.enqueue_texts(
                outbox=outbox,
                account_id=account.pk,
                texts=d.texts_to(some),
                price=Decimal("12.00"),
                not_before=now,
                after=None,
                now=now,
            )

    assert enqueue(fans[:2]) == fans[1].pk
    assert enqueue(fans) == fans[2].pk
    assert d.counts(outbox) == {"queued": 3}


def test_what_is_enqueued_for_later_makes_the_account_due_later(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    later = now + timedelta(hours=1)
    with tenant_transaction(agency):
        outboxes.enqueue_texts(
            outbox=d.outbox_of(agency),
            account_id=account.pk,
            texts=d.texts_to(factories.fans(1, account=account)),
            price=None,
            not_before=later,
            after=None,
            now=now,
        )
    assert d.fresh(account).next_due == later


def test_a_blocked_account_is_not_due_before_its_block_ends(agency: Tenant, account: Account) -> None:
    until = timezone.now() + timedelta(minutes=5)
    d.change(account, blocked_until=until)
    d.enqueue(account)
    assert d.fresh(account).next_due == until


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_ended_outbox_takes_nothing_more(agency: Tenant, account: Account, end: str) -> None:
    outbox = d.outbox_of(agency)
    with tenant_transaction(agency):
        getattr(outboxes, end)(outbox=outbox, now=timezone.now())

    with pytest.raises(ConflictError):
        d.enqueue(account, outbox=outbox)

    assert d.counts(outbox) == {}
    assert d.rows(outbox=outbox) == []


def test_a_pause_says_how_many_are_in_flight(gateway: Sandbox, agency: Tenant, account: Account) -> None:
    outbox = d.enqueue(account, 12)
    d.grant()
    now = timezone.now()

    with tenant_transaction(agency):
        assert outboxes.pause(outbox=outbox, now=now) == 10
        assert outboxes.pause(outbox=outbox, now=now + timedelta(hours=1)) == 10

    assert d.fresh(outbox).paused_at == now


def test_a_cancelled_outbox_does_not_resume(agency: Tenant) -> None:
    outbox = d.outbox_of(agency)
    with tenant_transaction(agency):
        outboxes.cancel(outbox=outbox, now=timezone.now())
    with pytest.raises(ConflictError), tenant_transaction(agency):
        outboxes.resume(outbox=outbox, now=timezone.now())


def test_only_a_settled_outbox_closes(gateway: Sandbox, agency: Tenant, account: Account) -> None:
    outbox = d.enqueue(account)
    with pytest.raises(ConflictError), tenant_transaction(agency):
        outboxes.close(outbox=outbox, now=timezone.now())

    d.dispatch()

    with tenant_transaction(agency):
        assert outboxes.settled(outbox)
        outboxes.close(outbox=outbox, now=timezone.now())
    assert d.fresh(outbox).closed_at


def test_a_single_message_is_sent_with_its_price_and_media(
    gateway: Sandbox, agency: Tenant, account: Account
) -> None:
    now = timezone.now()
    with tenant_transaction(agency):
        message = messages.enqueue_message(
            tenant_id=agency.pk,
            account=account,
            fan=factories.fan(account=account),
            text="Ünïcödé 👩‍👩‍👧 مرحبا",
            price=Decimal("12"),
            media=["m1"],
            not_before=now,
            priority=Priority.HIGH,
            now=now,
        )

    d.dispatch()

    assert d.row(pk=message.pk).state == "sent"
    assert gateway.audit()["accepted"] == 1


def test_a_message_needs_a_fan_of_its_account(agency: Tenant, account: Account) -> None:
    elsewhere = factories.fan(account=factories.account(tenant=agency))
    now = timezone.now()
    with pytest.raises(InvalidInputError), tenant_transaction(agency):
        messages.enqueue_message(
            tenant_id=agency.pk,
            account=account,
            fan=elsewhere,
            text="Hi",
            price=None,
            media=[],
            not_before=now,
            priority=Priority.HIGH,
            now=now,
        )
