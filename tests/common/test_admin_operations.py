"""What an operator does in the admin reaches the service, and its refusals reach the operator."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.db import models
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from kombu.exceptions import OperationalError

from apps.campaigns.models import Campaign, CampaignStatus
from apps.common.errors import ConflictError
from apps.costs.models import Budget
from apps.messaging.models import Account, MessageState
from apps.operations.models import DeadLetter, DeadLetterState
from apps.operations.services import dead_letters
from apps.tenants.models import ApiKey, Tenant, User
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tests import factories
from tests.conftest import client_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def letter(db: None) -> DeadLetter:
    dead_letters.record(
        task="tasks.ai.run_generation",
        task_id="1",
        queue="ai",
        args=[],
        kwargs={"generation_id": "x"},
        error="ValueError: no",
        traceback="",
        attempts=6,
    )
    with system_transaction():
        return DeadLetter.objects.get()


def next_task(queue: str) -> Any:
    """The arguments of the task that waits at the real broker."""
    with app.connection_for_read() as connection:
        waiting = connection.SimpleQueue(app.amqp.queues[queue])  # type: ignore[arg-type]  # it takes queues too
        message = waiting.get(timeout=5)
        message.ack()
        return message.payload[:2]


def url(model: type[models.Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def above_the_list(browser: Client, operation: str, *rows: models.Model) -> list[str]:
    data = {"action": operation, "_selected_action": [str(row.pk) for row in rows]}
    return said(browser.post(url(type(rows[0]), "changelist"), data))


def on_the_page(browser: Client, operation: str, row: models.Model, **fields: str) -> HttpResponse:
    return browser.post(url(type(row), operation, row.pk), {"_form_submitted": "True", **fields})  # type: ignore[return-value]


def said(response: Any) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def fresh(row: Any) -> Any:
    with system_transaction():
        row.refresh_from_db()
    return row


def test_a_replayed_task_is_sent_again(
    browser: Client, letter: DeadLetter, operator: User, django_capture_on_commit_callbacks: Any
) -> None:
    app.control.purge()  # what other tests have left to workers
    with django_capture_on_commit_callbacks(execute=True):
        assert above_the_list(browser, "replay", letter) == ["Replayed."]
    assert next_task("ai") == [[], {"generation_id": "x"}]
    assert fresh(letter).state == DeadLetterState.REPLAYED
    assert letter.resolved_by == operator.email
    assert LogEntry.objects.get().get_change_message() == "Replayed."


def test_a_task_that_the_broker_does_not_take_stays_open(
    browser: Client,
    letter: DeadLetter,
    django_capture_on_commit_callbacks: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(app, "send_task", unreachable)
    with django_capture_on_commit_callbacks(execute=True):
        on_the_page(browser, "replay", letter)
    assert fresh(letter).state == DeadLetterState.OPEN


def test_a_task_is_resolved_once(browser: Client, letter: DeadLetter) -> None:
    above_the_list(browser, "discard", letter)
    assert "already discarded" in above_the_list(browser, "replay", letter)[-1]
    assert fresh(letter).state == DeadLetterState.DISCARDED


def test_a_button_stands_only_where_it_fits(browser: Client, letter: DeadLetter) -> None:
    page = url(DeadLetter, "change", letter.pk)
    replay = url(DeadLetter, "replay", letter.pk)
    assert replay in browser.get(page).content.decode()
    above_the_list(browser, "discard", letter)
    assert replay not in browser.get(page).content.decode()


def test_a_button_asks_before_it_acts(browser: Client, letter: DeadLetter) -> None:
    assert "That is safe" in browser.get(url(DeadLetter, "replay", letter.pk)).content.decode()
    assert fresh(letter).state == DeadLetterState.OPEN


def test_staff_without_the_right_can_not_act(client: Client, letter: DeadLetter) -> None:
    client.force_login(factories.user(is_staff=True))
    assert on_the_page(client, "replay", letter).status_code == 403
    assert fresh(letter).state == DeadLetterState.OPEN


def test_a_campaign_is_rejected_with_a_reason(browser: Client, agency: Tenant, account: Account) -> None:
    campaign = factories.campaign(
        tenant=agency, accounts=[account], status=CampaignStatus.AWAITING_APPROVAL, plan={}
    )
    on_the_page(browser, "reject", campaign)
    assert fresh(campaign).status == CampaignStatus.AWAITING_APPROVAL
    answer = on_the_page(browser, "reject", campaign, reason="Not this month.")
    assert answer.headers["HX-Redirect"] == url(Campaign, "change", campaign.pk)
    assert fresh(campaign).status == CampaignStatus.CANCELLED
    assert campaign.reason == "Not this month."


def test_an_approved_campaign_takes_its_next_step(
    browser: Client, agency: Tenant, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    campaign = factories.campaign(tenant=agency, accounts=[account], status=CampaignStatus.AWAITING_APPROVAL)
    with django_capture_on_commit_callbacks(execute=True):
        above_the_list(browser, "approve", campaign)
    assert next_task("campaigns") == [[], {"campaign_id": str(campaign.pk)}]
    assert fresh(campaign).approved_at


def test_a_campaign_is_paused_and_resumed(browser: Client, agency: Tenant, account: Account) -> None:
    campaign = factories.campaign(tenant=agency, accounts=[account])
    above_the_list(browser, "pause", campaign)
    assert fresh(campaign.outbox).paused_at
    above_the_list(browser, "resume", campaign)
    assert not fresh(campaign.outbox).paused_at


def test_an_account_and_a_tenant_are_paused_and_resumed(
    browser: Client, agency: Tenant, account: Account
) -> None:
    for row in (account, agency):
        above_the_list(browser, "pause", row)
        assert fresh(row).paused_at
        above_the_list(browser, "resume", row)
        assert not fresh(row).paused_at


def test_an_unknown_message_is_marked_as_sent(browser: Client, account: Account) -> None:
    message = factories.message(fan=factories.fan(account=account), state=MessageState.UNKNOWN, attempt=1)
    above_the_list(browser, "mark_sent", message)
    assert fresh(message).state == MessageState.SENT


def test_a_dead_message_is_replayed(browser: Client, account: Account) -> None:
    now = timezone.now()
    fan = factories.fan(account=account)
    dead = factories.message(fan=fan, state=MessageState.DEAD, finished_at=now, reason="attempts_exhausted")
    above_the_list(browser, "replay", dead)
    assert fresh(dead).state == MessageState.QUEUED
    assert "None of them can be replayed" in above_the_list(browser, "replay", dead)[-1]


def test_a_key_is_shown_once_and_can_be_revoked(browser: Client, agency: Tenant, account: Account) -> None:
    form = {"tenant": str(agency.pk), "name": "Front end", "role": "manager"}
    answer = browser.post(url(ApiKey, "add"), form, follow=True)
    with system_transaction():
        row = ApiKey.objects.get()
    text = answer.content.decode()
    key = text[text.index(f">{row.prefix}") + 1 :].split("<")[0]
    api = client_of(agency)
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert api.get("/api/v2/accounts").status_code == 200
    assert key not in browser.get(url(ApiKey, "change", row.pk)).content.decode()
    above_the_list(browser, "revoke", row)
    assert api.get("/api/v2/accounts").status_code == 401


def account_form(tenant: Tenant, **fields: str) -> dict[str, str]:
    return {
        "tenant": str(tenant.pk),
        "name": "Luna",
        "platform": "onlyfans",
        "external_id": "luna",
        "credential": "",
        "limit_count": "10",
        "limit_seconds": "60",
        "min_gap_ms": "0",
        "quiet_zone": "account",
        "time_zone": "UTC",
        **fields,
    }


def test_a_credential_is_set_and_kept_but_never_shown(browser: Client, agency: Tenant) -> None:
    assert "required" in browser.post(url(Account, "add"), account_form(agency)).content.decode()
    browser.post(url(Account, "add"), account_form(agency, credential="s3cret-token"))
    with system_transaction():
        account = Account.objects.get()
    page = url(Account, "change", account.pk)
    assert "s3cret-token" not in browser.get(page).content.decode()
    browser.post(page, account_form(agency, name="Luna B"))
    assert fresh(account).name == "Luna B"
    assert account.credential == "s3cret-token"
    browser.post(page, account_form(agency, credential="another"))
    assert fresh(account).credential == "another"
    history = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert history == ["Added.", "Changed Name.", "Changed Name and credential."]


def budget_form(tenant: Tenant, **fields: str) -> dict[str, str]:
    return {
        "tenant": str(tenant.pk),
        "scope": "tenant",
        "period": "day",
        "limit": "5.00",
        "mode": "stop",
        "thresholds": "50,100",
        "is_active": "on",
        "counters-TOTAL_FORMS": "0",
        "counters-INITIAL_FORMS": "0",
        **fields,
    }


def test_a_budget_is_made_and_changed_through_its_service(browser: Client, agency: Tenant) -> None:
    factories.price()
    browser.post(url(Budget, "add"), budget_form(agency))
    with system_transaction():
        budget = Budget.objects.get()
        assert budget.counters.count() == 1
    browser.post(url(Budget, "change", budget.pk), budget_form(agency, limit="7.50"))
    assert fresh(budget).limit == Decimal("7.5")


def test_a_second_budget_for_the_same_is_refused_in_the_form(browser: Client, agency: Tenant) -> None:
    factories.price()
    assert browser.post(url(Budget, "add"), budget_form(agency)).status_code == 302
    again = browser.post(url(Budget, "add"), budget_form(agency))
    assert again.status_code == 200
    assert "There is such a budget already; change its limit instead." in again.content.decode()


def test_a_providers_budget_is_for_one_that_is_offered(browser: Client, agency: Tenant) -> None:
    factories.price()
    offered = browser.get(url(Budget, "add")).context["adminform"].form["provider"].field.widget.choices
    assert [value for value, _ in offered] == ["", "openai", "azure"]

    refused = browser.post(url(Budget, "add"), budget_form(agency, scope="provider", provider="Open AI"))
    assert "Budgets are for one of openai, azure." in str(refused.context["adminform"].errors["provider"])

    browser.post(url(Budget, "add"), budget_form(agency, scope="provider", provider="azure"))
    with system_transaction():
        assert Budget.objects.get().provider == "azure"


def test_a_budget_for_a_provider_that_nobody_calls_can_be_switched_off(
    browser: Client, agency: Tenant
) -> None:
    with system_transaction():
        old = Budget.objects.create(
            tenant_id=agency.pk, scope="provider", provider="Open AI", period="day", limit=Decimal(5)
        )
    browser.post(url(Budget, "change", old.pk), budget_form(agency, is_active=""))
    assert not fresh(old).is_active


def test_a_tenants_time_zone_moves_its_budgets(browser: Client, agency: Tenant) -> None:
    form = {
        "name": agency.name,
        "time_zone": "Asia/Tokyo",
        "currency": "USD",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    browser.post(url(Tenant, "change", agency.pk), form)
    assert fresh(agency).time_zone == "Asia/Tokyo"


def test_what_a_service_refuses_to_save_is_said(
    browser: Client, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_was_faster(**fields: object) -> None:
        raise ConflictError("There is such a budget already.")

    monkeypatch.setattr("apps.costs.admin.budgets.create_budget", somebody_was_faster)
    assert said(browser.post(url(Budget, "add"), budget_form(agency))) == ["There is such a budget already."]
    assert not LogEntry.objects.exists()
