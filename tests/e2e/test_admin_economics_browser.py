"""The admin's page Economics in a real browser: with no data, a month's, and many tenants."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.analytics import tenant_choice
from apps.analytics.models import RevenueEntry
from apps.messaging.models import MessageState
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.rolled import enter, row
from tests.e2e.browser import NEEDED, Visit, overflow, picture

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]

URL = "admin:analytics_economics"
LONG_NAME = "An account whose name has a great many words, as names that people enter sometimes have"


@pytest.fixture
def month(agency: Tenant) -> Tenant:
    """Costs of three accounts and a campaign, messages of two, revenue of one."""
    now, price = timezone.now(), factories.price().pk
    for number, name in enumerate((LONG_NAME, "Été", "Noor"), start=1):
        account = factories.account(tenant=agency, name=name)
        campaign = factories.campaign(tenant=agency, accounts=[account], name=f"{name}, winback")
        for amount in ("0.0123", str(1_234 * number)):
            of = {"account_id": account.pk, "campaign_id": campaign.pk}
            enter(row(agency, price, occurred_at=now, amount=Decimal(amount), **of))
        if number < 3:
            for fan in factories.fans(3, account=account):
                factories.message(
                    fan=fan, state=MessageState.SENT, sent_at=now, finished_at=now, outbox=campaign.outbox
                )
        if number == 1:
            _earn(agency, account_id=account.pk, campaign_id=campaign.pk)
    enter(row(agency, price, occurred_at=now, amount=Decimal("7.5")))
    return agency


def _earn(tenant: Tenant, **of: object) -> None:
    with system_transaction():
        for number, amount in enumerate(("23456.78", "-500")):
            RevenueEntry.objects.create(
                tenant_id=tenant.pk,
                external_id=f"tx-{number}",
                occurred_at=timezone.now(),
                amount=Decimal(amount),
                kind="refund" if number else "purchase",
                **of,
            )


def test_without_data_it_says_so_in_words(visiting: Callable[[], Visit], agency: Tenant) -> None:
    seen = visiting()
    seen.open(reverse(URL))
    assert seen.page.locator("text=Nothing was asked of the AI").count() == 2
    assert seen.page.locator("text=so it is unknown, not zero").count() == 1
    picture(seen, "economics-nothing-light")
    assert seen.troubles == []


def test_with_a_months_data_its_tables_fit_in_light_and_dark_wide_and_narrow(
    visiting: Callable[[], Visit], month: Tenant
) -> None:
    seen = visiting()
    for scheme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=scheme)
        seen.open(reverse(URL))
        assert seen.page.locator("text=22,956.78").count() > 0
        assert seen.page.locator(f"a:has-text('{LONG_NAME[:20]}')").count() == 2
        assert overflow(seen) == []
        picture(seen, f"economics-month-{scheme}")
    seen.page.set_viewport_size({"width": 420, "height": 1600})
    seen.open(reverse(URL))
    assert overflow(seen) == []
    picture(seen, "economics-month-narrow")
    assert seen.troubles == []


def test_one_of_many_tenants_is_found_and_another_chosen(
    visiting: Callable[[], Visit], agency: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_choice, "TENANTS", 1)
    seen = visiting()
    seen.open(reverse(URL))
    assert seen.page.locator("#tenant option").all_inner_texts() == [agency.name]
    seen.page.fill("#find", "eve")
    seen.page.click("button:has-text('Find')")
    seen.page.wait_for_selector("text=Nothing was asked of the AI")
    assert seen.page.input_value("#tenant") == str(stranger.pk)
    picture(seen, "economics-found-light")
    seen.page.fill("#find", "")
    seen.page.click("button:has-text('Find')")
    seen.page.wait_for_url("**/?find=")
    assert seen.page.input_value("#tenant") == str(agency.pk)
    assert seen.troubles == []
