"""The choice of whom or what a budget is for, in the admin's form."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.costs.models import Budget
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.test_admin_operations import budget_form, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(factories.user(email="ada@example.com", is_staff=True, is_superuser=True))
    return client


def found(browser: Client, **asked: Any) -> list[tuple[str, str]]:
    answer = browser.get(reverse("admin:costs_budget_subjects"), asked)
    assert answer.status_code == 200
    return [(each["id"], each["text"]) for each in answer.json()["results"]]


def test_accounts_campaigns_and_users_are_found_by_name_or_id_among_the_tenants_own(
    browser: Client, agency: Tenant, stranger: Tenant
) -> None:
    mia, zoe = (factories.account(tenant=agency, name=name) for name in ("Mia", "Zoe"))
    factories.account(tenant=stranger, name="Mia")
    campaign = factories.campaign(tenant=agency, accounts=[mia], name="Summer")
    member = factories.user(tenant=agency, role=Role.ANALYST, email="bea@example.com")
    asked = {"tenant": agency.pk, "scope": "account"}

    assert [key for key, _ in found(browser, **asked)] == [str(mia.pk), str(zoe.pk)]
    ((key, text),) = found(browser, **asked, term=" mi ")
    assert (key, text) == (str(mia.pk), f"Mia ({str(mia.pk)[:13]}…)")
    assert [key for key, _ in found(browser, **asked, term=str(zoe.pk))] == [str(zoe.pk)]
    assert [key for key, _ in found(browser, tenant=agency.pk, scope="campaign")] == [str(campaign.pk)]
    assert [key for key, _ in found(browser, tenant=agency.pk, scope="user")] == [str(member.pk)]


@pytest.mark.parametrize(
    "asked", [{}, {"scope": "account"}, {"scope": "tenant"}, {"scope": "account", "tenant": "x"}]
)
def test_without_a_tenant_or_a_scope_that_has_rows_there_is_nothing(
    browser: Client, agency: Tenant, asked: dict[str, str]
) -> None:
    factories.account(tenant=agency)
    given = {"tenant": str(agency.pk)} if asked.get("scope") == "tenant" else {}
    assert found(browser, **given, **asked) == []


def test_many_come_page_by_page(browser: Client, agency: Tenant) -> None:
    for number in range(21):
        factories.account(tenant=agency, name=f"Account {number:02}")
    asked: dict[str, Any] = {"tenant": agency.pk, "scope": "account"}
    first = browser.get(reverse("admin:costs_budget_subjects"), asked).json()
    second = browser.get(reverse("admin:costs_budget_subjects"), {**asked, "page": 2}).json()
    assert (len(first["results"]), first["pagination"]["more"]) == (20, True)
    assert [each["text"][:10] for each in second["results"]] == ["Account 20"]
    assert not second["pagination"]["more"]


def test_a_term_that_no_name_can_have_finds_nothing(browser: Client, agency: Tenant) -> None:
    factories.account(tenant=agency, name="Mia")
    assert found(browser, tenant=agency.pk, scope="account", term="\0") == []
    assert found(browser, tenant=agency.pk, scope="account", term="Mi\0a") == []


@pytest.mark.parametrize("page", ["9" * 25, "9" * 5000, "0", "-1", "x"])
def test_what_is_no_page_is_the_first(browser: Client, agency: Tenant, page: str) -> None:
    mia = factories.account(tenant=agency, name="Mia")
    asked = {"tenant": agency.pk, "scope": "account", "page": page}
    assert [key for key, _ in found(browser, **asked)] == [str(mia.pk)]


def test_who_may_not_add_budgets_searches_nothing(client: Client, agency: Tenant) -> None:
    path = reverse("admin:costs_budget_subjects")
    client.force_login(factories.user(email="eve@example.com", is_staff=True))
    assert client.get(path).status_code == 403


def test_a_refused_form_keeps_what_was_chosen(browser: Client, agency: Tenant, stranger: Tenant) -> None:
    mine, theirs = (factories.account(tenant=each) for each in (agency, stranger))
    for account, shown in ((mine, True), (theirs, False)):
        form = budget_form(agency, scope="account", scope_id=str(account.pk), limit="-1")
        refused = browser.post(url(Budget, "add"), form)
        field = str(refused.context["adminform"].form["scope_id"])
        assert (f'<option value="{account.pk}" selected' in field) is shown
        assert (account.name in field) is shown
    with system_transaction():
        assert not Budget.objects.exists()
