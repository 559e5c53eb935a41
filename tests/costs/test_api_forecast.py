"""GET /api/v2/costs/forecast: what the month and the budgets will come to, as of now."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.costs.forecasting.bands import Band, DayBand
from apps.costs.models import Budget, BudgetPeriod, BudgetScope, Forecast
from apps.costs.services.budgets import change_budget, create_budget
from apps.costs.services.forecasts import make_forecast
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.conftest import as_json
from tests.costs.rolled import enter, make_partitions, row

pytestmark = pytest.mark.django_db(transaction=True)

FORECAST = "/api/v2/costs/forecast"
TODAY = date(2026, 5, 14)  # a Thursday
NIGHT = datetime(2026, 5, 14, 0, 45, tzinfo=UTC)
NOON = NIGHT + timedelta(hours=12)


@pytest.fixture(autouse=True)
def _thursday(monkeypatch: pytest.MonkeyPatch) -> None:
    make_partitions()
    monkeypatch.setattr("apps.costs.views.forecasts.timezone.now", lambda: NOON)


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def band(point: int) -> Band:
    return Band(*(Decimal(point + more) for more in (0, -10, 10, -20, 20)))


def keep(tenant: Tenant, *, budgets: tuple[Budget, ...] = (), **fields: Any) -> Forecast:
    """One that says 100 more each day from the 14th on, and so 1800 by the month's end."""
    days = [DayBand(TODAY + timedelta(days=number), band(100)).as_json() for number in range(18)]
    totals = [DayBand(date(2026, 5, day), Band.known(Decimal(0))).as_json() for day in range(1, 14)]
    totals += [
        DayBand(TODAY + timedelta(days=number), band(100 * (number + 1))).as_json() for number in range(18)
    ]
    values: dict[str, Any] = {
        "made_on": TODAY,
        "made_at": NIGHT,
        "month": date(2026, 5, 1),
        "method": "ets",
        "reason": "It did best.",
        "observed_days": 300,
        "spent": 0,
        "point": 1800,
        "low_80": 1790,
        "high_80": 1810,
        "low_95": 1780,
        "high_95": 1820,
        "days": days,
        "totals": totals,
        "backtest": {
            "measure": "wape_of_running_totals",
            "model": "ets",
            "model_error": 0.05,
            "naive_error": 0.07,
            "origins": 90,
        },
        "budget_totals": {str(each.pk): totals for each in budgets},
        **fields,
    }
    with tenant_transaction(tenant):
        return Forecast.objects.create(tenant_id=tenant.pk, **values)


def budget(tenant: Tenant, limit: int, **of: Any) -> Budget:
    return create_budget(tenant_id=tenant.pk, limit=Decimal(limit), now=NOON, **of)


def test_before_the_first_forecast_it_says_that_there_is_none(
    agency: Tenant, api: APIClient, price_id: int
) -> None:
    enter(row(agency, price_id, occurred_at=NIGHT, amount=Decimal(7)))
    made = budget(agency, 100)

    answer = as_json(api.get(FORECAST))

    assert answer.pop("reason").startswith("There is no forecast of this month yet.")
    (only,) = answer.pop("budgets")
    assert (only["id"], only["exhausted_on"], only["period_end"]) == (str(made.pk), None, None)
    assert (only["scope"], only["scope_id"], only["provider"]) == ("tenant", None, None)
    assert only["spent_so_far"] == usd("7.00")
    assert answer == {
        "time_zone": "UTC",
        "month": {"from": "2026-05-01", "to": "2026-05-31"},
        "spent_so_far": usd("7.00"),
        "display": usd("7.00"),
        "display_currency": "USD",
        "display_missing": None,
        "month_end": None,
        "method": "none",
        "observed_days": 0,
        "backtest": None,
        "made_at": None,
        "age_s": None,
        "days": [],
        "totals": [],
    }


def test_a_week_goes_on_in_the_next_month_as_the_last_forecast_said(
    agency: Tenant, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = datetime(2026, 5, 1, 0, 10, tzinfo=UTC)
    monkeypatch.setattr("apps.costs.views.forecasts.timezone.now", lambda: first)
    week, month = (budget(agency, 350, period=each) for each in (BudgetPeriod.WEEK, BudgetPeriod.MONTH))
    monday = date(2026, 4, 27)
    totals = [DayBand(monday + timedelta(days=more), band(100 * (more + 1))).as_json() for more in range(7)]
    april = [DayBand(date(2026, 4, day), band(100 * day)).as_json() for day in range(1, 31)]
    keep(
        agency,
        made_on=date(2026, 4, 30),
        made_at=first - timedelta(days=1),
        month=date(2026, 4, 1),
        budget_totals={str(week.pk): totals, str(month.pk): april},
    )

    answer = as_json(api.get(FORECAST))

    assert (answer["method"], answer["month_end"]) == ("none", None)
    of_week, of_month = answer["budgets"]
    assert (of_week["from"], of_week["to"]) == ("2026-04-27", "2026-05-03")
    assert of_week["period_end"]["point"] == usd("700.00")
    assert of_week["exhausted_on"]["point"] == "2026-05-01"
    assert (of_month["from"], of_month["period_end"]) == ("2026-05-01", None)


def test_it_answers_what_the_night_has_found(agency: Tenant, api: APIClient) -> None:
    keep(agency)

    answer = as_json(api.get(FORECAST))

    shown = answer["month_end"].pop("display")
    assert (
        shown
        == answer["month_end"]
        == {
            "point": usd("1800.00"),
            "interval_80": {"low": usd("1790.00"), "high": usd("1810.00")},
            "interval_95": {"low": usd("1780.00"), "high": usd("1820.00")},
        }
    )
    assert (answer["method"], answer["reason"], answer["age_s"]) == ("ets", "It did best.", 12 * 3600)
    assert answer["backtest"]["naive_error"] == 0.07
    assert (answer["days"][0]["day"], answer["days"][-1]["day"]) == ("2026-05-14", "2026-05-31")
    assert len(answer["totals"]) == 31


def test_what_was_spent_since_is_in_it(agency: Tenant, api: APIClient, price_id: int) -> None:
    keep(agency)
    enter(row(agency, price_id, occurred_at=NOON, amount=Decimal(1795)))

    answer = as_json(api.get(FORECAST))

    assert answer["spent_so_far"] == usd("1795.00")
    assert answer["month_end"]["point"] == usd("1800.00")
    assert answer["month_end"]["interval_80"]["low"] == usd("1795.00")
    assert answer["totals"][12]["point"] == usd("0.00"), "yesterday is over"
    assert answer["totals"][13]["interval_95"]["high"] == usd("1795.00")


def test_a_budget_is_exhausted_when_its_sums_reach_the_limit(agency: Tenant, api: APIClient) -> None:
    keep(agency, budgets=(budget(agency, 415),))

    (only,) = as_json(api.get(FORECAST))["budgets"]

    assert only["exhausted_on"] == {
        "point": "2026-05-18",
        "earliest_80": "2026-05-18",
        "latest_80": "2026-05-18",
        "earliest_95": "2026-05-17",
        "latest_95": "2026-05-18",
    }
    assert (only["from"], only["to"], only["limit"]) == ("2026-05-01", "2026-05-31", usd("415.00"))
    assert only["period_end"]["point"] == usd("1800.00")


def test_another_limit_needs_no_new_forecast(agency: Tenant, api: APIClient) -> None:
    made = budget(agency, 415)
    keep(agency, budgets=(made,))
    change_budget(budget=made, limit=Decimal(9999), now=NOON)

    (only,) = as_json(api.get(FORECAST))["budgets"]

    assert set(only["exhausted_on"].values()) == {None}


def test_what_is_spent_already_exhausts_a_budget_today(agency: Tenant, api: APIClient, price_id: int) -> None:
    enter(row(agency, price_id, occurred_at=NOON, amount=Decimal(416)))
    keep(agency, budgets=(budget(agency, 415),))

    (only,) = as_json(api.get(FORECAST))["budgets"]

    assert set(only["exhausted_on"].values()) == {"2026-05-14"}


def test_before_the_days_own_forecast_a_limit_that_was_not_reached_was_not_reached_yesterday(
    agency: Tenant, api: APIClient, price_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(row(agency, price_id, occurred_at=NOON, amount=Decimal(150)))
    keep(agency, budgets=(budget(agency, 250),))
    monkeypatch.setattr("apps.costs.views.forecasts.timezone.now", lambda: NIGHT + timedelta(days=3))

    answer = as_json(api.get(FORECAST))

    (only,) = answer["budgets"]
    assert only["spent_so_far"] == usd("150.00")
    assert set(only["exhausted_on"].values()) == {"2026-05-17"}
    assert answer["totals"][15]["point"] == usd("150.00"), "300 were forecast"


def test_the_sums_of_last_week_say_nothing_of_this_one(agency: Tenant, api: APIClient) -> None:
    keep(agency, budgets=(budget(agency, 415, period=BudgetPeriod.WEEK),))

    (only,) = as_json(api.get(FORECAST))["budgets"]

    assert (only["from"], only["to"]) == ("2026-05-11", "2026-05-17")
    assert only["exhausted_on"] is None


def test_budgets_of_a_day_and_those_switched_off_are_left_out(agency: Tenant, api: APIClient) -> None:
    budget(agency, 1, period=BudgetPeriod.DAY)
    off = budget(agency, 2, scope=BudgetScope.PROVIDER, provider="openai")
    change_budget(budget=off, is_active=False, now=NOON)

    assert as_json(api.get(FORECAST))["budgets"] == []


def test_a_providers_budget_names_it(agency: Tenant, api: APIClient) -> None:
    budget(agency, 2, scope=BudgetScope.PROVIDER, provider="openai")

    (only,) = as_json(api.get(FORECAST))["budgets"]

    assert (only["scope"], only["provider"]) == ("provider", "openai")


def test_the_forecast_of_another_month_is_none_of_this_one(agency: Tenant, api: APIClient) -> None:
    keep(agency, month=date(2026, 4, 1), made_on=date(2026, 4, 30))
    assert as_json(api.get(FORECAST))["method"] == "none"


def test_the_latest_forecast_counts(agency: Tenant, api: APIClient) -> None:
    keep(agency, reason="Today's.")
    keep(agency, made_on=TODAY - timedelta(days=1), reason="Yesterday's.")
    assert as_json(api.get(FORECAST))["reason"] == "Today's."


def test_nobody_sees_another_tenants(agency: Tenant, stranger_api: APIClient) -> None:
    keep(agency, budgets=(budget(agency, 1),))

    answer = as_json(stranger_api.get(FORECAST))

    assert (answer["method"], answer["budgets"]) == ("none", [])


def test_whoever_may_only_read_may_read_it(agency: Tenant, analyst_api: APIClient) -> None:
    assert analyst_api.get(FORECAST).status_code == 200


def test_it_takes_no_parameters_and_nothing_but_get(api: APIClient) -> None:
    response = api.get(FORECAST, {"month": "2026-05"})
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == ["month"]
    assert api.post(FORECAST, {}).status_code == 405


def test_statements_dont_grow_with_budgets(agency: Tenant, api: APIClient) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api.get(FORECAST).status_code == 200
        return len(captured)

    keep(agency, budgets=(budget(agency, 1),))
    statements()
    few = statements()
    budget(agency, 2, period=BudgetPeriod.WEEK)
    budget(agency, 3, scope=BudgetScope.PROVIDER, provider="openai")

    assert statements() == few <= 12


def test_from_the_ledger_to_the_answer(agency: Tenant, api: APIClient, price_id: int) -> None:
    enter(
        *(
            row(agency, price_id, occurred_at=NOON - timedelta(days=days), amount=Decimal(10))
            for days in range(1, 21)
        )
    )
    budget(agency, 200)
    make_forecast(tenant=agency, now=NIGHT)

    answer = as_json(api.get(FORECAST))

    assert answer["method"] == "weekday_means"
    assert answer["month_end"]["point"] == usd("310.00")
    (only,) = answer["budgets"]
    assert only["exhausted_on"]["point"] == "2026-05-20"
