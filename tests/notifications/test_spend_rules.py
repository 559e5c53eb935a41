"""What costs tell of hours unlike those before, and of what is to come; each told once."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.costs.alert_rules import RULES
from apps.costs.models import Budget, BudgetPeriod, Forecast
from apps.costs.services import rollups
from apps.costs.services.budgets import change_budget, create_budget
from apps.notifications.models import Channel, DeliveryState
from apps.notifications.services import rules
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.rolled import enter, make_partitions, row
from tests.notifications.alerting import alerts, deliveries, target

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 5, 14, 15, 20, tzinfo=UTC)  # a Thursday; the last whole hour is that from 14:00
HOUR = datetime(2026, 5, 14, 14, 30, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.fixture(autouse=True)
def _year() -> None:
    make_partitions()


@pytest.fixture
def price_id() -> int:
    return factories.price().pk


def spend(tenant: Tenant, price_id: int, *amounts: int, at: datetime = HOUR) -> None:
    """In this hour, and this hour of each week before; rolled up."""
    enter(
        *(
            row(tenant, price_id, occurred_at=at - number * WEEK, amount=Decimal(amount))
            for number, amount in enumerate(amounts)
            if amount
        )
    )
    rollups.roll_up()


def told(rule: str, now: datetime = NOW) -> list[Any]:
    rules.evaluate_rules(now=now)
    return alerts(rule)


def test_an_hour_unlike_those_of_past_weeks_is_told_of_once(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, 100, 10, 11, 9, 10, 12)

    for minutes in (0, 15, 39):
        (alert,) = told("spend_spike", NOW + timedelta(minutes=minutes))

    assert (alert.tenant_id, alert.level, alert.period) == (agency.pk, "warning", "2026-05-14 14:00Z")
    assert alert.message == (
        "The hour from 14:00 on Thursday, 2026-05-14 has cost 100.00 USD; this hour of the 5 weeks before"
        " usually cost 10.00 USD."
    )
    assert (alert.data["usual"], alert.data["weeks"]) == ("10.00", 5)
    assert len(told("spend_spike", NOW + timedelta(hours=1))) == 1, "the next hour cost nothing"


@pytest.mark.parametrize(
    ("amounts", "why"),
    [
        ((100, 10, 11, 9), "three weeks are too few"),
        ((14, 10, 11, 9, 10, 12), "it is less than five dollars more"),
        ((100, 90, 110, 100, 95, 80), "it is as usual"),
        ((60, 10, 50, 20, 5, 45), "the hour differs that much from week to week"),
        ((0, 10, 11, 9, 10, 12), "nothing was spent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_hour_is_not_told_of_if(amounts: tuple[int, ...], why: str, agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, *amounts)
    assert told("spend_spike") == []


def test_a_spike_of_a_past_week_hides_no_other(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, 100, 10, 900, 9, 10, 12)
    assert len(told("spend_spike")) == 1


def test_weeks_without_spend_count_once_there_was_some(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, 100, 0, 0, 0, 0, 3)
    (alert,) = told("spend_spike")
    assert (alert.data["usual"], alert.data["weeks"]) == ("0.00", 5)


def test_an_hour_that_isnt_over_is_not_looked_at(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, 100, 10, 10, 10, 10, 10)
    assert told("spend_spike", HOUR) == []


def test_figures_may_be_set(agency: Tenant, price_id: int, settings: Any) -> None:
    settings.SPIKE_AMOUNT, settings.SPIKE_DEVIATIONS = Decimal(200), Decimal(1)
    spend(agency, price_id, 100, 10, 11, 9, 10, 12)
    assert told("spend_spike") == []


def test_hours_are_those_of_the_tenants_clock(price_id: int) -> None:
    """Clocks in Berlin went forward on the 29th of March: before, 14:00 was at another hour of UTC."""
    berlin = factories.tenant(time_zone="Europe/Berlin")
    zone = ZoneInfo("Europe/Berlin")
    for back, amount in enumerate((100, 10, 10, 10, 10)):
        at = datetime(2026, 4, 16, 14, 30, tzinfo=zone) - back * WEEK
        enter(row(berlin, price_id, occurred_at=at.astimezone(UTC), amount=Decimal(amount)))
    rollups.roll_up()

    (alert,) = told("spend_spike", datetime(2026, 4, 16, 13, 10, tzinfo=UTC))

    assert (alert.data["usual"], alert.data["spread"]) == ("10.00", "0.00")
    assert "from 14:00 on Thursday" in alert.message


def test_spikes_of_a_zone_with_half_an_hour(price_id: int) -> None:
    kolkata = factories.tenant(time_zone="Asia/Kolkata")  # 14:30 UTC is 20:00 there
    spend(kolkata, price_id, 100, 10, 10, 10, 10, at=datetime(2026, 5, 14, 14, 45, tzinfo=UTC))
    (alert,) = told("spend_spike", datetime(2026, 5, 14, 15, 31, tzinfo=UTC))
    assert alert.period == "2026-05-14 14:30Z"


def test_spikes_are_each_tenants_own(agency: Tenant, stranger: Tenant, price_id: int) -> None:
    spend(agency, price_id, 100, 10, 10, 10, 10)
    spend(stranger, price_id, 10, 100, 100, 100, 100)
    assert [alert.tenant_id for alert in told("spend_spike")] == [agency.pk]


def budget(tenant: Tenant, limit: int, **of: Any) -> Budget:
    return create_budget(tenant_id=tenant.pk, limit=Decimal(limit), now=NOW, **of)


def forecast(tenant: Tenant, made: Budget, *, made_at: datetime = NOW, **figures: Any) -> None:
    ahead = {
        "id": str(made.pk),
        "starts_on": "2026-05-01",
        "ends_on": "2026-05-31",
        "spent": "40",
        "point": "120",
        "low_80": "90",
        "high_80": "150",
        **figures,
    }
    with tenant_transaction(tenant):
        Forecast.objects.update_or_create(
            tenant_id=tenant.pk,
            made_on=made_at.date(),
            defaults={
                "made_at": made_at,
                "month": date(2026, 5, 1),
                "method": "none",
                "observed_days": 0,
                "spent": "0",
                "budgets": [ahead],
            },
        )


def test_a_forecast_says_which_budget_it_is_about(agency: Tenant) -> None:
    forecast(agency, budget(agency, 100, scope="provider", provider="azure"))
    (alert,) = told("forecast_over_budget")
    assert "100.00 USD a month for the provider azure; with" in alert.message
    assert (alert.data["scope"], alert.data["scope_id"], alert.data["provider"]) == (
        "provider",
        None,
        "azure",
    )


def test_a_forecast_beyond_a_budget_is_a_warning_once(agency: Tenant) -> None:
    made = budget(agency, 100)
    forecast(agency, made)

    for _ in range(2):
        (alert,) = told("forecast_over_budget")

    assert (alert.tenant_id, alert.subject, alert.level) == (agency.pk, str(made.pk), "warning")
    assert alert.period == "2026-05-01 of 100.00"
    assert alert.message == (
        "By 2026-05-31 120.00 USD will be spent of the budget of 100.00 USD a month; with 80 %, from"
        " 90.00 USD to 150.00 USD."
    )


def test_it_is_critical_where_it_surely_will_be(agency: Tenant) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    forecast(agency, budget(agency, 100), low_80="101")

    found = told("forecast_over_budget")

    assert sorted(alert.level for alert in found) == ["critical", "warning"]
    assert [each.alert.level for each in deliveries(state=DeliveryState.PENDING)] == ["critical"]
    forecast(agency, Budget(pk=found[0].subject), low_80="99")
    assert len(told("forecast_over_budget")) == 2, "less sure on the next day, it isn't told again"


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"point": "100"}, "just the limit isn't beyond it"),
        ({"spent": "101"}, "it is exceeded already"),
        ({"ends_on": "2026-05-13"}, "the period is over"),
        ({"made_at": NOW - timedelta(days=3)}, "the forecast is old"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_not_told_if(figures: dict[str, Any], why: str, agency: Tenant) -> None:
    forecast(agency, budget(agency, 100), **figures)
    assert told("forecast_over_budget") == []


def test_the_latest_forecast_and_the_present_limit_count(agency: Tenant) -> None:
    made = budget(agency, 100)
    forecast(agency, made, made_at=NOW - timedelta(days=1))
    forecast(agency, made, point="90", low_80="70")
    assert told("forecast_over_budget") == []

    change_budget(budget=made, limit=Decimal(80), now=NOW)
    assert [alert.period for alert in told("forecast_over_budget")] == ["2026-05-01 of 80.00"]

    change_budget(budget=made, limit=Decimal(70), is_active=False, now=NOW)
    assert len(told("forecast_over_budget")) == 1


def test_a_row_of_one_tenant_speaks_of_no_others_budget(agency: Tenant, stranger: Tenant) -> None:
    forecast(stranger, budget(agency, 100))
    assert told("forecast_over_budget") == []


@pytest.mark.parametrize("rolled_up", [False, True])
def test_a_dear_day_is_found_rolled_up_or_not(
    agency: Tenant, price_id: int, settings: Any, rolled_up: bool
) -> None:
    settings.DAILY_COST_ALERT = Decimal(50)
    enter(row(agency, price_id, occurred_at=NOW, amount=Decimal(30)))
    rollups.roll_up()
    enter(row(agency, price_id, occurred_at=NOW, amount=Decimal(21)))
    enter(row(agency, price_id, occurred_at=NOW - timedelta(days=1), amount=Decimal(99)))
    if rolled_up:
        rollups.roll_up()

    (alert,) = told("daily_cost")

    assert (alert.period, alert.data["spent"]) == ("2026-05-14", "51.00")


def test_rules_that_look_often_leave_the_ledger_to_its_tail(
    agency: Tenant, price_id: int, django_assert_max_num_queries: Any
) -> None:
    spend(agency, price_id, 100, 10, 10, 10, 10)
    with system_transaction(), django_assert_max_num_queries(10) as captured:
        for name in ("daily_cost", "spend_spike", "forecast_over_budget"):
            list(RULES[name](NOW))
    assert not [each["sql"] for each in captured if "costs_ledgerentry" in each["sql"]]


def test_a_budget_of_a_week_is_told_of_as_such(agency: Tenant) -> None:
    made = budget(agency, 100, period=BudgetPeriod.WEEK)
    forecast(agency, made, starts_on="2026-05-11", ends_on="2026-05-17")
    (alert,) = told("forecast_over_budget")
    assert "the budget of 100.00 USD a week" in alert.message
