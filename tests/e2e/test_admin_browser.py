"""The operator's admin in a real browser: it signs in, opens every list, and the console stays silent."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from apps.messaging.models import Account
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.admin_rows import add_rows
from tests.e2e.browser import NEEDED, OPERATOR, PASSWORD, Visit, signed_in

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]


@pytest.fixture
def rows() -> Account:
    """Something in every table, made before the browser's event loop runs in this thread."""
    operator = factories.user(email=OPERATOR, password=PASSWORD, is_staff=True, is_superuser=True)
    agency = factories.tenant(name="Ada's agency")
    add_rows(to=agency, by=operator, number=2)
    with system_transaction():
        return Account.objects.order_by("pk")[0]


@pytest.fixture
def visit(rows: Account, live_server: Any) -> Iterator[Visit]:
    with signed_in(live_server.url) as seen:
        yield seen


def test_every_list_opens_without_a_word_in_the_console(visit: Visit) -> None:
    for model in admin.site._registry:
        visit.open(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
        assert visit.page.locator("#result_list tbody").count() > 0, model
    assert visit.troubles == []


_COLOUR = "link => getComputedStyle(link).color"


def test_the_way_to_a_budget_looks_like_a_link(visit: Visit) -> None:
    visit.open(reverse("admin:costs_budget_changelist"))
    row = visit.page.locator("#result_list tr.data-row").first
    to_budget, to_tenant = (row.locator(f".field-{name} a") for name in ("scope", "tenant"))
    assert to_budget.evaluate(_COLOUR) == to_tenant.evaluate(_COLOUR)


def test_an_account_is_paused_by_its_button(visit: Visit, rows: Account) -> None:
    visit.open(reverse("admin:messaging_account_change", args=[rows.pk]))
    visit.page.click("a:has-text('Pause')")
    visit.page.click("#dialog button[type=submit]")
    visit.page.wait_for_selector("text=Paused by ada@example.com")
    assert visit.troubles == []


def test_the_page_dispatch_shows_limits_and_sorts_its_accounts(visit: Visit, rows: Account) -> None:
    visit.open(reverse("admin:messaging_dispatch"))
    assert visit.page.locator("text=Workers alive").count() > 0
    visit.page.click("th:has-text('queued') a")
    visit.settle()
    visit.page.click(f"#result_list a:has-text('{rows.name}')")
    visit.page.wait_for_selector("text=Show limits and backlog")
    assert visit.troubles == []


def test_a_question_leads_to_its_prompt_as_it_was_put(visit: Visit) -> None:
    visit.open(reverse("admin:ai_generation_changelist"))
    visit.page.click("#result_list tbody a >> nth=0")
    visit.page.wait_for_selector("text=place 1")
    visit.page.click("a:has-text('with these variables')")
    visit.page.wait_for_selector("text=Body, filled in")
    assert visit.page.locator("text=asked with key-").count() == 1
    assert visit.troubles == []


def test_dead_messages_are_replayed_after_a_question(visit: Visit) -> None:
    visit.open(reverse("admin:messaging_message_changelist"))
    visit.page.click("text=Replay all dead messages")
    visit.page.wait_for_selector("text=No dead message can be replayed")
    assert visit.troubles == []


def test_a_budget_is_for_a_campaign_that_is_searched_among_the_tenants(visit: Visit) -> None:
    visit.open(reverse("admin:costs_budget_add"))
    subject = visit.page.locator("#id_scope_id")
    expect(subject).to_be_disabled()  # by the script, which hears of changes from now on
    visit.page.select_option("#id_tenant", label="Ada's agency")
    visit.page.select_option("#id_scope", "campaign")
    visit.page.click(".field-scope_id .select2-selection")
    visit.page.fill(".select2-search__field", "campaign 1")
    visit.page.click(".select2-results__option:has-text('Campaign 1')")
    visit.page.fill("#id_limit", "5")
    visit.page.click("button[name=_save]")
    visit.page.wait_for_selector("#result_list")
    with_it = visit.page.locator("#result_list tr.data-row:has-text('5.00 USD')")
    assert with_it.locator("text=Campaign").count() > 0
    assert visit.troubles == []


def test_a_tenant_is_added_by_its_form(visit: Visit) -> None:
    visit.open(reverse("admin:tenants_tenant_add"))
    visit.page.fill("#id_name", "Bea's agency")
    visit.page.click("button[name=_save]")
    visit.page.wait_for_selector("#result_list")
    assert visit.page.locator("text=Bea's agency").count() > 0
    assert visit.troubles == []
