"""The admin's lists of what was spent and of what is expected."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from apps.costs.models import Forecast, LedgerEntry, UsageCorrection
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def test_a_forecast_is_shown_to_the_cent_and_in_full_as_a_tool_tip(browser: Client, agency: Tenant) -> None:
    today = timezone.now().date()
    with system_transaction():
        made = Forecast.objects.create(
            tenant_id=agency.pk,
            made_on=today,
            made_at=timezone.now(),
            month=today.replace(day=1),
            method="none",
            reason="Not enough data.",
            observed_days=0,
            spent=Decimal("1234.5678901234"),
        )
    for page in (
        reverse("admin:costs_forecast_changelist"),
        reverse("admin:costs_forecast_change", args=[made.pk]),
    ):
        text = browser.get(page).content.decode()
        assert ">1,234.57 USD<" in text
        assert 'title="1,234.5678901234 USD"' in text


def test_an_interval_of_a_forecast_is_in_one_column(browser: Client, agency: Tenant) -> None:
    today = timezone.now().date()
    with system_transaction():
        Forecast.objects.create(
            tenant_id=agency.pk,
            made_on=today,
            made_at=timezone.now(),
            month=today.replace(day=1),
            method="log_theta",
            observed_days=60,
            spent=Decimal(900),
            point=Decimal(2000),
            low_80=Decimal("1900.004"),
            high_80=Decimal("2100.006"),
            low_95=Decimal("1800.001"),
            high_95=Decimal("2200.009"),
        )
    text = strip_tags(browser.get(reverse("admin:costs_forecast_changelist")).content.decode())
    assert "1,900.00 to 2,100.01 USD" in text
    assert "1,800.00 to 2,200.01 USD" in text


def test_an_entry_is_called_by_its_amount_without_further_zeros() -> None:
    assert str(LedgerEntry(amount=Decimal("0.0002155000"), currency="USD")) == "0.0002155 USD"


def test_a_list_of_bare_amounts_says_what_they_are_in(browser: Client) -> None:
    prices = browser.get(reverse("admin:costs_price_changelist")).content.decode()
    assert "US dollars per million tokens" in prices
    for name in ("usagedifference", "usageline", "usagecorrection"):
        assert "in US dollars" in browser.get(reverse(f"admin:costs_{name}_changelist")).content.decode()


def test_no_two_columns_of_a_list_have_the_same_name(rf: Any) -> None:
    of_bills = admin.site._registry[UsageCorrection]
    titles = [
        str(getattr(each, "short_description", each)) for each in of_bills.get_list_display(rf.get("/"))
    ]
    assert len({title.replace("_", " ") for title in titles}) == len(titles)
