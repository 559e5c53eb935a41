"""Filling an outbox: in the database, chunk by chunk, to go on from wherever it was interrupted."""

import resource
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.campaigns.models import Campaign, Personalisation, StepName, StepStatus, WorkflowStep
from apps.campaigns.services import workflow
from apps.campaigns.services.steps import dispatch
from apps.common.ids import uuid7, uuid7_in_sql
from apps.content.models import Content
from apps.messaging.models import Account, Message
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.campaigns.conftest import reload
from tests.killing import killed_before
from tests.messaging import dispatching as d

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]

KINDS = [Personalisation.TEMPLATE, Personalisation.PER_FAN]
MEGABYTE = 2**20


def approved(tenant: Tenant, *accounts: Account, kind: Personalisation, **box: Any) -> Campaign:
    """A campaign whose texts are written, and that is approved."""
    campaign = factories.campaign(
        tenant=tenant,
        accounts=list(accounts),
        personalisation=kind,
        status="dispatching",
        approved_at=timezone.now(),
    )
    with system_transaction():
        WorkflowStep.objects.create(
            tenant_id=tenant.pk,
            campaign=campaign,
            name=StepName.DISPATCH,
            position=3,
            status=StepStatus.PENDING,
        )
        for key, value in box.items():
            setattr(campaign.outbox, key, value)
        campaign.outbox.save()
        for account in accounts:
            for fan in account.fans.all() if kind == Personalisation.PER_FAN else [None]:
                Content.objects.create(
                    tenant_id=tenant.pk,
                    kind="message",
                    account=account,
                    fan=fan,
                    campaign_id=campaign.pk,
                    state="ready",
                    text=f"Hi {fan.name}" if fan else "Hi {{ fan.name }}",
                )
    return campaign


def fill(campaign: Campaign) -> None:
    while workflow.advance(campaign_id=campaign.pk, now=timezone.now()).more:
        pass


def recipients_of(campaign: Campaign) -> list[UUID]:
    return sorted(message.fan_id for message in d.rows(outbox=campaign.outbox_id))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "CHUNK", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_fan_gets_one_message_with_the_outboxs_user(agency: Tenant, kind: Personalisation) -> None:
    accounts = [factories.account(tenant=agency) for _ in range(3)]
    fans = [fan for each in accounts[:2] for fan in factories.fans(5, account=each)]
    user_id = uuid7()
    campaign = approved(agency, *accounts, kind=kind, user_id=user_id)

    fill(campaign)

    assert recipients_of(campaign) == sorted(fan.pk for fan in fans)
    assert d.counts(campaign.outbox) == {"queued": 10}
    queued = d.rows(outbox=campaign.outbox_id)
    assert {message.user_id for message in queued} == {user_id}
    names = {fan.pk: fan.name for fan in fans}
    expected = {fan: f"Hi {name}" if kind == Personalisation.PER_FAN else None for fan, name in names.items()}
    assert {message.fan_id: message.text for message in queued} == expected
    # Ids are of version 7, and ascend in the order of the fans: the order of sending.
    assert {message.pk.version for message in queued} == {7}
    for account in accounts:
        mine = [message.fan_id for message in queued if message.account_id == account.pk]
        assert mine == sorted(mine)
    assert d.fresh(accounts[0]).next_due is not None
    assert d.fresh(accounts[2]).next_due is None


@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_any_statement_it_goes_on_and_nobody_is_written_to_twice(
    agency: Tenant, account: Account, kind: Personalisation
) -> None:
    fans = factories.fans(5, account=account)
    ended, number = False, 0
    while not ended:
        number += 1
        campaign = approved(agency, account, kind=kind)
        with killed_before(number):
            fill(campaign)
            ended = True
        d.counts(campaign.outbox)  # which are those of the rows, also half-way
        fill(campaign)
        assert recipients_of(campaign) == sorted(fan.pk for fan in fans)
        assert d.counts(campaign.outbox) == {"queued": 5}
    assert number > 20


@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_fill_it_together_and_write_to_each_fan_once(
    agency: Tenant, kind: Personalisation
) -> None:
    accounts = [factories.account(tenant=agency) for _ in range(2)]
    fans = [fan for each in accounts for fan in factories.fans(20, account=each)]
    campaign = approved(agency, *accounts, kind=kind)
    together = Barrier(2)

    def run() -> None:
        together.wait()
        fill(campaign)
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(run) for _ in range(2)]:
            each.result()

    assert recipients_of(campaign) == sorted(fan.pk for fan in fans)
    assert d.counts(campaign.outbox) == {"queued": 40}


def test_a_chunk_costs_the_same_statements_and_rows_of_any_size(
    agency: Tenant, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CHUNK", 100)
    factories.fans(3, account=account)
    costs = []
    for number in (0, 97):
        if number:
            factories.fans(number, account=account)
        campaign = approved(agency, account, kind=Personalisation.TEMPLATE)
        with CaptureQueriesContext(connection) as captured:
            workflow.advance(campaign_id=campaign.pk, now=timezone.now())
        costs.append(len(captured))
    assert costs[0] == costs[1]
    assert d.counts(campaign.outbox) == {"queued": 100}


def add_fans(account: Account, number: int) -> None:
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO messaging_fan"  # noqa: S608  # our own expression is inserted
            " (id, tenant_id, account_id, external_id, name, attributes, spend, consent)"
            f" SELECT {uuid7_in_sql(number='n')}, %s, %s, 'fan-' || n, 'Fan ' || n, '{{}}', 0, true"
            " FROM generate_series(0::bigint, %s - 1) n",
            [account.tenant_id, account.pk, number],
        )


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "number", [20_000, pytest.param(1_000_000, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_memory_does_not_grow_with_the_fans(
    number: int, agency: Tenant, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    for first in range(0, number, 100_000):
        add_fans(account if first == 0 else factories.account(tenant=agency), min(number, 100_000))
    with system_transaction():
        accounts = list(Account.objects.filter(tenant_id=agency.pk))
    campaign = approved(agency, *accounts, kind=Personalisation.TEMPLATE)
    workflow.advance(campaign_id=campaign.pk, now=timezone.now())  # what the first chunk loads, it loads once
    before = peak()

    fill(campaign)

    assert peak() - before < 4 * MEGABYTE
    assert reload(campaign.pk).outbox.queued == number
    with system_transaction():
        rows = Message.objects.filter(outbox=campaign.outbox_id)
        assert rows.count() == rows.values("fan_id").distinct().count() == number
