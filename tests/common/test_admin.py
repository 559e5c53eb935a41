"""The operator's admin, model by model: each page answers, in statements that don't grow with the rows."""

import re
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.ai.models import Analysis, BreakerChange, Generation, Recommendation, Replay, ReplayItem
from apps.common.admin.paginator import BoundedPaginator
from apps.common.models import IdempotencyRecord
from apps.costs.models import BudgetCounter, Forecast, Hold, LedgerEntry
from apps.messaging.models import Fan, Message
from apps.notifications.models import Delivery
from apps.operations.models import JobRun
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.admin_rows import add_rows

pytestmark = pytest.mark.django_db

admin.autodiscover()
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
READ_ONLY = [
    Analysis,
    BreakerChange,
    BudgetCounter,
    Delivery,
    Forecast,
    Generation,
    Hold,
    IdempotencyRecord,
    JobRun,
    LedgerEntry,
    LogEntry,
    Message,
    Recommendation,
    Replay,
    ReplayItem,
]
# Session, user, the door, the count, the rows, and what a filter or two needs.
STATEMENTS = 16


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


def page(model: type[models.Model], name: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def each_model(models: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("model", models, ids=lambda model: model._meta.label)


def statements(browser: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = browser.get(url)
    assert response.status_code == 200
    return len(captured)


def test_every_model_of_ours_is_in_the_admin() -> None:
    ours = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
    assert len(ours) > 20
    assert [model._meta.label for model in ours if model not in admin.site._registry] == []


@each_model(MODELS)
def test_a_list_without_rows_answers(model: type[models.Model], browser: Client) -> None:
    assert browser.get(page(model, "changelist")).status_code == 200


@each_model(MODELS)
def test_a_lists_statements_do_not_grow_with_its_rows(
    model: type[models.Model], browser: Client, operator: User, agency: Tenant, stranger: Tenant
) -> None:
    url = page(model, "changelist")
    add_rows(to=agency, by=operator, number=1)
    browser.get(url)  # content types are read once for each process
    before = statements(browser, url)
    add_rows(to=stranger, by=operator, number=3)
    after = statements(browser, url)
    assert after <= before
    assert after <= STATEMENTS


@each_model(MODELS)
def test_each_value_of_a_card_has_the_name_of_its_column(
    model: type[models.Model], browser: Client, operator: User, agency: Tenant
) -> None:
    add_rows(to=agency, by=operator, number=1)
    text = browser.get(page(model, "changelist")).content.decode()
    cells = re.findall(r'<td class="([\w%-]+)[^>]* data-label="Select record"', text)
    assert set(cells) <= {"action-checkbox"}


@each_model(MODELS)
def test_a_rows_page_answers(
    model: type[models.Model], browser: Client, operator: User, agency: Tenant
) -> None:
    add_rows(to=agency, by=operator, number=1)
    with system_transaction():
        row = model._default_manager.order_by("-pk").first()
    assert row is not None
    assert browser.get(page(model, "change", row.pk)).status_code == 200
    assert browser.get(page(model, "history", row.pk)).status_code == 200


@each_model(MODELS)
def test_the_page_to_add_a_row_answers_where_one_may(
    model: type[models.Model], browser: Client, operator: User
) -> None:
    request = RequestFactory().get("/")
    request.user = operator
    allowed = admin.site._registry[model].has_add_permission(request)
    assert browser.get(page(model, "add")).status_code == (200 if allowed else 403)


@each_model(MODELS)
def test_a_search_answers(model: type[models.Model], browser: Client, operator: User, agency: Tenant) -> None:
    add_rows(to=agency, by=operator, number=1)
    for words in ("summer", "0199", "01990a0b-1c2d", str(agency.pk), "…"):
        assert browser.get(page(model, "changelist"), {"q": words}).status_code == 200


@each_model(READ_ONLY)
def test_records_can_be_neither_made_nor_changed_nor_deleted(
    model: type[models.Model], browser: Client, operator: User, agency: Tenant
) -> None:
    add_rows(to=agency, by=operator, number=1)
    with system_transaction():
        row = model._default_manager.order_by("-pk").first()
    assert row is not None
    assert browser.post(page(model, "add"), {}).status_code == 403
    assert browser.post(page(model, "change", row.pk), {}).status_code == 403
    assert browser.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_the_admin_sees_every_tenant(browser: Client, agency: Tenant, stranger: Tenant) -> None:
    text = browser.get(page(Tenant, "changelist")).content.decode()
    assert "Ada&#x27;s agency" in text
    assert "Eve&#x27;s agency" in text


def test_nobody_but_staff_gets_in(client: Client, agency: Tenant) -> None:
    url = page(Tenant, "changelist")
    assert client.get(url).headers["Location"].startswith(reverse("admin:login"))
    client.force_login(factories.user(tenant=agency))
    assert client.get(url).headers["Location"].startswith(reverse("admin:login"))


def test_staff_without_a_right_are_refused(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(page(Tenant, "changelist")).status_code == 403


def test_one_can_sign_in_and_out(client: Client, operator: User) -> None:
    answer = client.post(reverse("admin:login"), {"username": operator.email, "password": "a long password"})
    assert answer.headers["Location"] == reverse("admin:index")
    assert client.get(reverse("admin:index")).status_code == 200
    client.post(reverse("admin:logout"))
    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("name", ["login", "index"])
def test_a_page_loads_nothing_from_elsewhere(name: str, browser: Client) -> None:
    if name == "login":
        browser.logout()
    answer = browser.get(reverse(f"admin:{name}"))
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert b"//fonts." not in answer.content


def test_a_list_is_found_by_the_first_digits_of_an_id(
    browser: Client, operator: User, agency: Tenant
) -> None:
    add_rows(to=agency, by=operator, number=1)
    with system_transaction():
        message = Message.objects.get()
    url = page(Message, "changelist")
    assert str(message.pk) in browser.get(url, {"q": str(message.pk)[:13]}).content.decode()
    assert str(message.pk) not in browser.get(url, {"q": "ffffffff"}).content.decode()


def test_a_long_list_is_not_counted_to_its_end(
    browser: Client, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedPaginator, "bound", 1_001)
    factories.fans(1_002, account=factories.account(tenant=agency))
    text = browser.get(page(Fan, "changelist")).content.decode()
    assert "1,001+" in " ".join(text.split())


def test_a_link_leads_to_the_rows_behind_it(browser: Client, operator: User, agency: Tenant) -> None:
    add_rows(to=agency, by=operator, number=1)
    with system_transaction():
        message = Message.objects.select_related("outbox").get()
    assert message.outbox is not None
    assert message.outbox.campaign_id is not None
    detail = browser.get(reverse("admin:campaigns_campaign_change", args=[message.outbox.campaign_id]))
    link = f"{page(Message, 'changelist')}?outbox__id__exact={message.outbox_id}"
    assert link in detail.content.decode()
    assert str(message.pk) in browser.get(link).content.decode()
