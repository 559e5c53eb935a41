"""GET /api/v2/costs/stats: what a tenant has spent, to the last call."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.costs.services import rollups
from apps.costs.services.budgets import change_time_zone
from apps.tenants.models import Tenant
from tests import factories
from tests.conftest import as_json
from tests.costs.rolled import enter, row

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]

STATS = "/api/v2/costs/stats"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)  # a Thursday


@pytest.fixture
def thursday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.costs.views.reports.timezone.now", lambda: NOON)


def test_stats_without_a_call_are_zero(api: APIClient, thursday: None) -> None:
    answer = as_json(api.get(STATS))

    nothing = {
        "attempts": 0,
        "estimated": 0,
        "input_tokens": 0,
        "cached_tokens": 0,
        "output_tokens": 0,
        "cost": {"amount": "0.00", "currency": "USD"},
        "display": {"amount": "0.00", "currency": "USD"},
    }
    assert answer == {
        "time_zone": "UTC",
        "display_currency": "USD",
        "display_missing": None,
        "today": {"from": "2026-05-14", "to": "2026-05-14", "total": nothing, "by_provider": []},
        "this_week": {"from": "2026-05-11", "to": "2026-05-17", "total": nothing, "by_provider": []},
        "this_month": {"from": "2026-05-01", "to": "2026-05-31", "total": nothing, "by_provider": []},
        "previous_month": {"from": "2026-04-01", "to": "2026-04-30", "total": nothing, "by_provider": []},
    }


@pytest.mark.parametrize("rolled_up", [False, True])
def test_stats_are_the_same_whether_rolled_up_or_not(
    agency: Tenant, stranger: Tenant, api: APIClient, price_id: int, thursday: None, rolled_up: bool
) -> None:
    def spent(dollars: int, at: datetime, tenant: Tenant = agency, **fields: Any) -> dict[str, Any]:
        return row(tenant, price_id, amount=Decimal(dollars), occurred_at=at, **fields)

    enter(
        spent(1, NOON),
        spent(2, NOON, provider="azure", estimated=True),
        spent(4, NOON - timedelta(days=3)),
        spent(8, NOON - timedelta(days=4)),
        spent(16, datetime(2026, 4, 30, 23, 59, tzinfo=UTC), provider="azure"),
        spent(32, datetime(2026, 3, 31, 23, 59, tzinfo=UTC)),
        spent(64, NOON, stranger),
    )
    if rolled_up:
        rollups.roll_up()

    answer = as_json(api.get(STATS))

    def providers(name: str) -> dict[str, str]:
        return {each["provider"]: each["cost"]["amount"] for each in answer[name]["by_provider"]}

    assert list(providers("today").items()) == [("azure", "2.00"), ("openai", "1.00")]
    assert providers("this_week") == {"azure": "2.00", "openai": "5.00"}
    assert providers("this_month") == {"azure": "2.00", "openai": "13.00"}
    assert providers("previous_month") == {"azure": "16.00"}
    assert answer["this_month"]["total"]["cost"] == {"amount": "15.00", "currency": "USD"}
    assert (answer["today"]["total"]["attempts"], answer["today"]["total"]["estimated"]) == (2, 1)


def test_stats_are_one_statement_however_much_there_is(agency: Tenant, api: APIClient, price_id: int) -> None:
    api.get(STATS)
    with CaptureQueriesContext(connection) as queries:
        api.get(STATS)

    assert len([each for each in queries if "rollup" in each["sql"]]) == 1


def test_days_are_the_tenants_own(agency: Tenant, api: APIClient, price_id: int, thursday: None) -> None:
    change_time_zone(tenant=agency, time_zone="Pacific/Auckland", now=NOON)  # where it is the 15th already
    enter(
        row(agency, price_id, occurred_at=NOON), row(agency, price_id, occurred_at=NOON - timedelta(hours=1))
    )

    answer = as_json(api.get(STATS))

    assert answer["today"]["from"] == "2026-05-15"
    assert answer["today"]["total"]["attempts"] == 1


def test_stats_take_no_parameters(api: APIClient) -> None:
    response = api.get(STATS, {"from": "2026-05-01"})
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == ["from"]


def test_a_campaigns_cost_is_current(agency: Tenant, stranger: Tenant, api: APIClient, price_id: int) -> None:
    campaign = factories.campaign(tenant=agency, accounts=[factories.account(tenant=agency)])
    enter(row(agency, price_id, campaign_id=campaign.pk, amount=Decimal(2)))
    rollups.roll_up()
    enter(row(agency, price_id, campaign_id=campaign.pk, amount=Decimal(3)))

    answer = as_json(api.get(f"/api/v2/campaigns/status/{campaign.pk}"))

    assert answer["cost"] == {"amount": "5.00", "currency": "USD"}
