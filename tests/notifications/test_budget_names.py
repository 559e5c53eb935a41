"""Alerts speak of a budget's account, campaign or user by the name that people know it by."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.costs.alert_rules.wording import Whose
from apps.costs.models import BudgetScope
from apps.costs.services import thresholds
from apps.costs.services.budgets import create_budget
from apps.notifications.models import Channel
from apps.notifications.services import rules
from apps.tenants.models import Tenant
from tests import factories
from tests.costs.spending import dollar_price
from tests.notifications.alerting import alerts, send, target
from tests.notifications.receivers import MailServer
from tests.notifications.test_cost_rules import spend

pytestmark = pytest.mark.django_db(transaction=True)


def subject(tenant: Tenant, scope: str) -> tuple[UUID, str]:
    account = factories.account(tenant=tenant, name="Luna")
    match scope:
        case "account":
            return account.pk, "Luna"
        case "campaign":
            return factories.campaign(tenant=tenant, accounts=[account], name="Summer").pk, "Summer"
    return factories.user(tenant=tenant, email="bea@example.com").pk, "bea@example.com"


@pytest.mark.parametrize("at_settlement", [True, False])
@pytest.mark.parametrize("scope", ["account", "campaign", "user"])
def test_an_alert_calls_what_a_budget_is_for_by_its_name(
    agency: Tenant, scope: BudgetScope, at_settlement: bool
) -> None:
    dollar_price()
    whose, name = subject(agency, scope)
    create_budget(
        tenant_id=agency.pk,
        limit=Decimal(5),
        scope=scope,
        scope_id=whose,
        now=timezone.now(),
        thresholds=[50],
    )
    purpose: dict[str, Any] = {f"{scope}_id": whose}
    spend(agency, 4, **purpose)

    if at_settlement:
        thresholds.check_budgets(tenant_id=agency.pk, now=timezone.now())
    else:
        rules.evaluate_rules(now=timezone.now())

    (alert,) = alerts("budget_threshold")
    assert f"the budget of 5.00 USD a month for the {scope} “{name}” are spent" in alert.message
    assert alert.data["scope_id"] == str(whose)


def test_the_name_is_in_the_mails_subject_as_a_whole(agency: Tenant, mail: MailServer) -> None:
    dollar_price()
    target(agency, Channel.EMAIL, "ada@agency.example")
    luna = factories.account(tenant=agency, name="Luna of the thirty-one nights")
    create_budget(
        tenant_id=agency.pk,
        limit=Decimal(5),
        scope=BudgetScope.ACCOUNT,
        scope_id=luna.pk,
        now=timezone.now(),
        thresholds=[50],
    )
    spend(agency, 4, account_id=luna.pk)
    rules.evaluate_rules(now=timezone.now())
    send()
    (message,) = mail.mails
    assert luna.name in " ".join(str(message["Subject"]).split())


def test_a_long_name_is_cut_and_none_breaks_the_line() -> None:
    named = str(Whose("account", None, "", "Luna\r\n" + 100 * "a"))
    assert named == f" for the account “Luna {34 * 'a'}…”"
