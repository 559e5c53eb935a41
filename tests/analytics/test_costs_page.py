"""The admin's page Costs: what it shows to whom, and what it says to what it can't show."""

import html
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.analytics import tenant_choice
from apps.common.ids import uuid7
from apps.costs.models import BudgetScope
from apps.costs.services.forecasts import make_forecast
from apps.tenants.models import Tenant, User
from tests import factories
from tests.analytics.spending import a_year, budget, days_until, partitions, spend, stop_the_clock

pytestmark = pytest.mark.django_db(transaction=True)

# With session, user, the door, and the tenants to choose from.
STATEMENTS = 24


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


def page(browser: Client, *, status: int = 200, **asked: Any) -> str:
    answer = browser.get(reverse("admin_costs"), asked)
    assert answer.status_code == status
    return html.unescape(answer.content.decode())


def chart(text: str, kind: str) -> dict[str, Any]:
    found = re.search(rf'data-type="{kind}" data-value="(.*?)" data-options', text)
    assert found is not None, f"there is no {kind}"
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_without_a_tenant_it_says_how_to_make_one(browser: Client) -> None:
    assert "manage.py create_tenant NAME --email OWNER" in page(browser)


def test_without_spend_each_part_says_so_and_nothing_is_drawn(browser: Client, agency: Tenant) -> None:
    text = page(browser)
    for words in (
        "Nothing was spent in these days.",
        "None yet",
        "There is no forecast of this month yet.",
        "There is no active budget",
        "No campaign cost anything",
        "No model was called",
        "There is none.",
    ):
        assert words in text
    assert "<canvas" not in text


def test_a_budget_of_an_account_is_called_by_the_accounts_name(browser: Client, agency: Tenant) -> None:
    account = factories.account(tenant=agency, name="Lake & boats")
    budget(agency, 5, now=timezone.now(), scope=BudgetScope.ACCOUNT, scope_id=account.pk)
    assert f'title="{account.pk}" class="text-link">Lake & boats</a>' in page(browser)


def test_after_too_few_days_it_says_how_many_it_takes(browser: Client, agency: Tenant) -> None:
    now = timezone.now()
    partitions(now.date(), days=3)
    spend(agency, factories.price().pk, days=days_until(now.date(), 3))
    make_forecast(tenant=agency, now=now)
    text = page(browser)
    assert "Not enough days yet" in text
    assert "A forecast takes 5 whole days" in text
    assert [each["label"] for each in chart(text, "line")["datasets"]] == ["spent"]


def test_a_years_page_has_charts_tables_and_links_in_the_same_few_statements(
    browser: Client, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_the_clock(monkeypatch)
    a_year(agency)
    for days, bars in ((7, 7), (30, 30), (90, None), (365, None)):
        with CaptureQueriesContext(connection) as captured:
            text = page(browser, tenant=agency.pk, days=days)
        assert len(captured) <= STATEMENTS
        stacked = chart(text, "bar")
        assert [each["label"] for each in stacked["datasets"]] == ["azure", "openai"]
        assert bars is None or len(stacked["labels"]) == bars
        assert text.count("<canvas") == text.count("<details>") == 2
    labels = [each["label"] for each in chart(text, "line")["datasets"]]
    assert labels == ["95 % from", "95 % to", "80 % from", "80 % to", "forecast", "spent", "limit"]
    assert "Campaign № 11: été" in text
    assert "A name of many words, A name of many words, A name of many …" in text
    assert "4 critical, 4 warning, 4 info" in text


def test_a_bars_link_leads_to_its_entries(browser: Client, agency: Tenant) -> None:
    today = timezone.now().date()
    partitions(today, days=1)
    spend(agency, factories.price().pk, days=days_until(today, 2))
    text = page(browser, tenant=agency.pk, days=7)
    link = re.search(
        rf'<a href="([^"]*costs/ledgerentry/\?[^"]*)"[^>]*><span[^>]*>{today - timedelta(days=1)}<', text
    )
    assert link is not None
    assert parse_qs(urlsplit(link[1]).query)["tenant_id__exact"] == [str(agency.pk)]
    entries = browser.get(link[1]).content.decode()
    assert "2 ledger entries" in " ".join(entries.split())


def test_whose_costs_are_shown_at_first(browser: Client, agency: Tenant, stranger: Tenant) -> None:
    assert f'value="{agency.pk}" selected' in page(browser)  # the first by name
    today = timezone.now().date()
    partitions(today, days=1)
    spend(stranger, factories.price().pk, days=[today])
    assert f'value="{stranger.pk}" selected' in page(browser)


def test_of_many_tenants_the_one_shown_can_be_chosen(
    browser: Client, agency: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_choice, "TENANTS", 1)
    assert f'value="{stranger.pk}" selected' in page(browser, tenant=stranger.pk)


def test_of_many_tenants_one_is_found_by_a_part_of_its_name_or_its_id(
    browser: Client, agency: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Find a tenant" not in page(browser)
    monkeypatch.setattr(tenant_choice, "TENANTS", 1)
    assert str(stranger.pk) not in (first := page(browser, days=7))
    assert "The list has the first 1 by name." in first
    assert 'name="days" value="7"' in first

    for find in ("EVE", str(stranger.pk)):
        found = page(browser, find=f" {find} ", days=7)
        assert f'value="{stranger.pk}" selected' in found
        assert str(agency.pk) not in found
        assert found.count(f'name="find" value="{find}"') == 2  # both forms go on with it


def test_all_tenants_are_shown_together_for_weeks(browser: Client, agency: Tenant, stranger: Tenant) -> None:
    today = timezone.now().date()
    partitions(today, days=1)
    for tenant in (agency, stranger):
        spend(tenant, factories.price(model=f"model-{tenant.pk}").pk, days=[today])
    text = page(browser, tenant="all", days=30)
    assert text.index("Ada's agency</a>") > 0
    assert text.index("Eve's agency</a>") > 0
    assert f"?tenant={stranger.pk}&days=30" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"days": "31"}, "“31” days can't be shown; 7, 30, 90, 365 can."),
        ({"days": "0"}, "“0” days can't be shown"),
        ({"days": "9" * 5000}, "9…” days can't be shown"),
        ({"tenant": "Ada"}, "There is no tenant “Ada”: choose one from the list."),
        ({"tenant": str(uuid7())}, "choose one from the list."),
        ({"tenant": "\0"}, "choose one from the list."),
        ({"tenant": "<b>"}, "There is no tenant “<b>”"),
        ({"tenant": "all", "days": "365"}, "Of all tenants, 30 days are shown at most."),
        ({"range": "7"}, "There is no parameter “range”; there are: tenant, days, find."),
        ({"find": "nobody"}, "No tenant has “nobody” in its name, or as its id"),
        ({"find": "\0"}, "or as its id: find another."),
    ],
)
def test_what_cannot_be_shown_is_refused_and_said(
    browser: Client, agency: Tenant, asked: dict[str, str], said: str
) -> None:
    text = page(browser, status=400, **asked)
    assert said in text
    assert "Spent in" not in text


def test_what_was_asked_for_is_never_markup(browser: Client, agency: Tenant) -> None:
    answer = browser.get(reverse("admin_costs"), {"tenant": "<script>alert(1)</script>"})
    assert b"<script>alert" not in answer.content


def test_nobody_but_operators_who_may_see_the_ledger_gets_in(client: Client, agency: Tenant) -> None:
    url = reverse("admin_costs")
    assert client.get(url).headers["Location"].startswith(reverse("admin:login"))
    client.force_login(factories.user(tenant=agency))
    assert client.get(url).headers["Location"].startswith(reverse("admin:login"))
    client.force_login(factories.user(is_staff=True))
    assert client.get(url).status_code == 403


def test_it_loads_nothing_from_elsewhere(browser: Client, agency: Tenant) -> None:
    answer = browser.get(reverse("admin_costs"))
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_the_overview_and_the_sidebar_lead_to_it(browser: Client) -> None:
    text = html.unescape(browser.get(reverse("admin:index")).content.decode())
    assert f'href="{reverse("admin_costs")}"' in text
    assert f'href="{reverse("admin_costs")}?tenant=all&days=7"' in text
