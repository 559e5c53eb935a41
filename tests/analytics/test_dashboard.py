"""The operator's first page: figures over all tenants, cheap, and helpful on an empty database."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.analytics.dashboard import Card
from apps.analytics.overview import beginning, overview
from apps.campaigns.models import CampaignStatus
from apps.common.ids import uuid7
from apps.costs.models import LedgerEntry
from apps.messaging.models import Account, MessageState
from apps.messaging.services.archive import archive_messages
from apps.operations.services import dead_letters
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.admin_rows import add_rows

pytestmark = pytest.mark.django_db

STATEMENTS = 24


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


def card(browser: Client, title: str) -> Card:
    (found,) = [each for each in browser.get(reverse("admin:index")).context["cards"] if each.title == title]
    assert isinstance(found, Card)
    return found


def test_an_empty_installation_says_what_to_do_first(browser: Client) -> None:
    text = browser.get(reverse("admin:index")).content.decode()
    assert "manage.py create_tenant NAME --email OWNER" in text
    assert "check_circle" not in text


def test_what_is_done_is_ticked_until_there_is_a_campaign(agency: Tenant) -> None:
    account = factories.account(tenant=agency)
    with system_transaction():
        had = beginning()
    assert had is not None
    assert (had.tenant, had.account, had.fan) == (True, True, False)
    factories.campaign(tenant=agency, accounts=[account])
    with system_transaction():
        assert beginning() is None


def test_the_figures_count_over_all_tenants(agency: Tenant, stranger: Tenant) -> None:
    now = timezone.now()
    fan = factories.fan(account=factories.account(tenant=agency, next_due=now - timedelta(seconds=1)))
    account = factories.account(tenant=stranger, next_due=now, paused_at=now)
    factories.message(fan=fan)
    factories.message(fan=factories.fan(account=account), state=MessageState.UNKNOWN)
    factories.campaign(tenant=stranger, accounts=[account], status=CampaignStatus.AWAITING_APPROVAL)
    dead_letters.record(
        task="tasks.x", task_id="1", queue="ai", args=[], kwargs={}, error="no", traceback="", attempts=1
    )
    with system_transaction():
        seen = overview(now=now + timedelta(seconds=1))
    assert (seen.tenants, seen.accounts, seen.accounts_due, seen.accounts_paused) == (2, 2, 1, 1)
    assert seen.messages == {"queued": 1, "unknown": 1}
    assert (seen.unknown, seen.dead_letters) == (1, 1)
    assert seen.campaigns == {"awaiting_approval": 1}


def test_messages_of_earlier_days_are_left_out(account: Account) -> None:
    factories.message(fan=factories.fan(account=account))
    with system_transaction():
        assert overview(now=timezone.now() + timedelta(hours=25)).messages == {}


def test_what_was_spent_today_is_summed(operator: User, agency: Tenant) -> None:
    add_rows(to=agency, by=operator, number=2)
    with system_transaction():
        seen = overview(now=timezone.now())
    assert seen.spent_today == {"USD": Decimal("0.0000246")}
    assert seen.held == {}


def test_the_page_takes_the_same_few_statements_with_more_rows(
    browser: Client, operator: User, agency: Tenant, stranger: Tenant
) -> None:
    counts = []
    for tenant in (agency, stranger):
        add_rows(to=tenant, by=operator, number=2)
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(reverse("admin:index")).status_code == 200
        counts.append(len(captured))
    assert counts[1] <= counts[0] <= STATEMENTS


def test_the_number_of_messages_leads_to_them_in_the_archive_too(browser: Client, agency: Tenant) -> None:
    now = timezone.now()
    fan = factories.fan(account=factories.account(tenant=agency))
    box = factories.outbox(tenant=agency, sent=1, closed_at=now)
    message = factories.message(fan=fan, outbox=box, state=MessageState.SENT, sent_at=now, finished_at=now)
    assert archive_messages(now=now + timedelta(hours=1)) == 1
    figure = card(browser, "Messages made in 24 h")
    assert figure.figure == "1"
    assert str(message.pk) in browser.get(figure.url).content.decode()


def test_what_was_spent_is_said_in_its_currency_and_to_the_cent(browser: Client, agency: Tenant) -> None:
    assert card(browser, "Spent today (UTC)").figure == "0.00 USD"
    spent = {"provider": "openai", "model": "gpt-3.5-turbo", "task_kind": "idea", "price": factories.price()}
    with system_transaction():
        LedgerEntry.objects.create(
            tenant_id=agency.pk,
            occurred_at=timezone.now(),
            generation_id=uuid7(),
            attempt=1,
            input_tokens=10,
            output_tokens=2,
            amount=Decimal("23.9974865307"),
            **spent,
        )
    assert card(browser, "Spent today (UTC)").figure == "24.00 USD"
