"""Budgets in the admin: how their period stands, and what the form refuses."""

import pytest
from django.test import Client
from django.utils import timezone

from apps.costs.models import Budget, BudgetCounter
from apps.costs.services import holds
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.test_admin_operations import budget_form, url
from tests.costs.spending import dollar_price, dollars, take

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(factories.user(email="ada@example.com", is_staff=True, is_superuser=True))
    return client


def test_a_budgets_page_and_list_show_how_its_period_stands(browser: Client, agency: Tenant) -> None:
    dollar_price()
    browser.post(url(Budget, "add"), budget_form(agency, limit="8.00", mode="shadow"))
    with system_transaction():
        budget = Budget.objects.get()
    page, rows = url(Budget, "change", budget.pk), url(Budget, "changelist")
    for each in (page, rows):
        answer = browser.get(each).content.decode()
        assert "0.0 % spent" in answer
        assert "calls of up to" not in answer

    holds.settle(hold=take(agency, 6), usage=dollars(6), now=timezone.now())
    take(agency, 3)
    take(agency, 1)

    for each in (page, url(BudgetCounter, "changelist")):
        assert ">6.00 USD<" in browser.get(each).content.decode()
    for each in (page, rows):
        answer = browser.get(each).content.decode()
        assert "75.0 % spent, 50.0 % held" in answer
        assert 'style="width: 75.0%"' in answer
        assert 'style="width: 25.0%"' in answer  # what is beyond the limit has no room
        assert "2 calls of up to 4.00 USD" in answer


def test_a_new_budget_has_no_counters_to_look_at(browser: Client, agency: Tenant) -> None:
    assert "Budget counters" not in _below(browser, url(Budget, "add"))
    browser.post(url(Budget, "add"), budget_form(agency))
    with system_transaction():
        budget = Budget.objects.get()
    assert "Budget counters" in _below(browser, url(Budget, "change", budget.pk))


def _below(browser: Client, page: str) -> str:
    """A form without the menu, which names the counters too."""
    return browser.get(page).content.decode().partition('id="content"')[2]


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ("0", "Thresholds are whole percentages from 1 to 1000, which 0 isn"),
        ("-3", "which -3 isn"),
        ("50,1001", "which 1001 isn"),
        ("80,80", "80 % is given twice"),
        ("half", "Number 1: Give whole percentages from 1 to 1000, as in 50, 80, 100."),
        ("50,,80", "Number 2: Give whole percentages from 1 to 1000"),
        (",".join(map(str, range(1, 22))), "At most 20 thresholds, not 21"),
    ],
)
def test_a_budgets_thresholds_are_checked_in_the_form(
    browser: Client, agency: Tenant, thresholds: str, words: str
) -> None:
    refused = browser.post(url(Budget, "add"), budget_form(agency, thresholds=thresholds))
    assert words in " ".join(refused.context["adminform"].errors["thresholds"])
    browser.post(url(Budget, "add"), budget_form(agency, thresholds="500, 20"))
    with system_transaction():
        assert Budget.objects.get().thresholds == [20, 500]


def test_a_budget_is_for_something_that_its_tenant_has(
    browser: Client, agency: Tenant, stranger: Tenant
) -> None:
    mine, theirs = (factories.account(tenant=each) for each in (agency, stranger))
    for scope_id, words in (
        (str(theirs.pk), "There is no such account."),
        ("", "Give the id of the account"),
    ):
        form = budget_form(agency, scope="account", scope_id=scope_id)
        refused = browser.post(url(Budget, "add"), form)
        assert words in " ".join(refused.context["adminform"].errors["scope_id"])
    browser.post(url(Budget, "add"), budget_form(agency, scope="account", scope_id=str(mine.pk)))
    with system_transaction():
        assert Budget.objects.get().scope_id == mine.pk


def test_what_a_budget_is_for_is_called_by_its_name(
    browser: Client, agency: Tenant, stranger: Tenant
) -> None:
    account, theirs = (factories.account(tenant=each) for each in (agency, stranger))
    campaign = factories.campaign(tenant=agency, accounts=[account], name="Spring_greetings & more")
    member = factories.user(tenant=agency, email="bea@example.com")
    of = {"tenant_id": agency.pk, "limit": 5}
    with system_transaction():
        for scope, row in (("account", account), ("campaign", campaign), ("user", member)):
            budget = Budget.objects.create(scope=scope, scope_id=row.pk, **of)
        gone = Budget.objects.create(scope="account", scope_id=theirs.pk, **of)

    rows = browser.get(url(Budget, "changelist")).content.decode()
    assert f'title="{account.pk}" class="text-link">{account.name}</a>' in rows
    assert "Spring_<wbr>greetings &amp; more</a>" in rows
    assert "bea@example.com</a>" in rows
    assert theirs.name not in rows
    assert f"{str(theirs.pk)[:13]}…" in rows
    assert "bea@example.com</a>" in browser.get(url(Budget, "change", budget.pk)).content.decode()
    assert browser.get(url(Budget, "change", gone.pk)).status_code == 200


def test_a_new_budget_is_offered_the_usual_thresholds(browser: Client) -> None:
    form = browser.get(url(Budget, "add")).context["adminform"].form
    assert 'value="50,80,100"' in str(form["thresholds"])


def test_what_a_budgets_form_refuses_it_refuses_in_one_sentence(
    browser: Client, agency: Tenant, stranger: Tenant
) -> None:
    theirs = str(factories.account(tenant=stranger).pk)
    browser.post(url(Budget, "add"), budget_form(agency))
    for changes, field, words in (
        ({"limit": "-5", "period": "week"}, "limit", "A limit isn't below zero."),
        ({"scope": "account", "scope_id": theirs}, "scope_id", "There is no such account."),
        ({}, "__all__", "There is such a budget already; change its limit instead."),
    ):
        refused = browser.post(url(Budget, "add"), budget_form(agency, **changes))
        assert refused.context["adminform"].errors == {field: [words]}


def test_a_budgets_limit_is_not_set_below_zero_later(browser: Client, agency: Tenant) -> None:
    browser.post(url(Budget, "add"), budget_form(agency))
    with system_transaction():
        budget = Budget.objects.get()
    refused = browser.post(url(Budget, "change", budget.pk), budget_form(agency, limit="-5"))
    assert refused.context["adminform"].errors == {"limit": ["A limit isn't below zero."]}
