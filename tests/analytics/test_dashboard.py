"""The operator's first page: figures over all tenants, cheap, and helpful on an empty database."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.analytics.overview import beginning, overview
from apps.campaigns.models import CampaignStatus
from apps.messaging.models import Account, MessageState
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
