"""What costs are in a tenant's own currency, beside the ledger's dollars."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.costs.forecasting.bands import Band, DayBand
from apps.costs.models import ExchangeRate, Forecast
from apps.costs.services import rollups
from apps.costs.services.budgets import change_time_zone, create_budget
from apps.costs.services.currencies import choose_currency
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.conftest import as_json
from tests.costs.rolled import enter, make_partitions, row

pytestmark = pytest.mark.django_db(transaction=True)

STATS, BREAKDOWN = "/api/v2/costs/stats", "/api/v2/costs/breakdown"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)  # a Thursday
ROLLED = pytest.mark.parametrize("rolled_up", [False, True])


@pytest.fixture(autouse=True)
def _thursday(monkeypatch: pytest.MonkeyPatch) -> None:
    make_partitions()
    monkeypatch.setattr("apps.costs.views.reports.timezone.now", lambda: NOON)


@pytest.fixture
def euros(agency: Tenant) -> None:
    """A dollar is 2 € from 29 April on, 3 € from 1 May, 4 € from 12 May, 5 € from 14 May."""
    with system_transaction():
        choose_currency(tenant=agency, currency="EUR", without_rates=True)
        for day, per_usd in (((4, 29), "2"), ((5, 1), "3"), ((5, 12), "4"), ((5, 14), "5")):
            ExchangeRate.objects.create(currency="EUR", date=date(2026, *day), per_usd=per_usd)


def spend(tenant: Tenant, price_id: int, dollars: str, at: datetime, **fields: Any) -> None:
    enter(row(tenant, price_id, amount=Decimal(dollars), occurred_at=at, **fields))


def at(month: int, day: int, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def shown(costs: Any) -> str | None:
    display = costs["display"]
    assert display is None or display["currency"] == "EUR"
    return None if display is None else str(display["amount"])


def test_without_another_currency_dollars_are_shown_again(
    agency: Tenant, api: APIClient, price_id: int
) -> None:
    spend(agency, price_id, "1.5", NOON)

    stats, breakdown = as_json(api.get(STATS)), as_json(api.get(BREAKDOWN))

    for answer in (stats, breakdown):
        assert (answer["display_currency"], answer["display_missing"]) == ("USD", None)
    dollars = {"amount": "1.50", "currency": "USD"}
    assert stats["today"]["total"]["display"] == breakdown["total"]["display"] == dollars
    assert breakdown["results"][0]["display"] == dollars


@ROLLED
def test_stats_convert_each_day_at_its_rate_and_the_month_before_at_its_last(
    agency: Tenant, stranger: Tenant, api: APIClient, price_id: int, euros: None, rolled_up: bool
) -> None:
    spend(agency, price_id, "1", at(5, 14))
    spend(agency, price_id, "1", at(5, 13), provider="azure")
    spend(agency, price_id, "1", at(5, 11))
    spend(agency, price_id, "1", at(5, 1))
    spend(agency, price_id, "1", at(4, 1))
    spend(agency, price_id, "1", at(4, 30))
    spend(stranger, price_id, "100", at(5, 14))
    if rolled_up:
        rollups.roll_up()

    answer = as_json(api.get(STATS))

    found = {
        name: shown(answer[name]["total"]) for name in ("today", "this_week", "this_month", "previous_month")
    }
    assert found == {
        "today": "5.00",
        "this_week": "12.00",
        "this_month": "15.00",
        "previous_month": "4.00",
    }
    providers = {each["provider"]: shown(each) for each in answer["this_week"]["by_provider"]}
    assert providers == {"openai": "8.00", "azure": "4.00"}
    assert answer["this_month"]["total"]["cost"] == {"amount": "4.00", "currency": "USD"}
    assert (answer["display_currency"], answer["display_missing"]) == ("EUR", None)


@ROLLED
def test_a_week_that_began_in_the_month_before_is_converted_by_days(
    agency: Tenant,
    api: APIClient,
    price_id: int,
    euros: None,
    rolled_up: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.costs.views.reports.timezone.now", lambda: at(5, 2))
    with system_transaction():
        ExchangeRate.objects.create(currency="EUR", date=date(2026, 4, 27), per_usd="7")
    spend(agency, price_id, "1", at(4, 27))
    if rolled_up:
        rollups.roll_up()

    answer = as_json(api.get(STATS))

    assert shown(answer["this_week"]["total"]) == "7.00"
    assert shown(answer["previous_month"]["total"]) == "2.00"


@ROLLED
@pytest.mark.parametrize("by", ["model", "month", "day", "hour", "day,model"])
def test_a_breakdown_converts_what_it_reads(
    agency: Tenant, api: APIClient, price_id: int, euros: None, rolled_up: bool, by: str
) -> None:
    """April is over: as a whole it is shown at its last day's rate, unless it is asked for by days."""
    moments = [at(4, 1), at(4, 30, 23), at(5, 1, 0), at(5, 12), at(5, 13), at(5, 14)]
    for moment in moments:
        spend(agency, price_id, "0.1", moment, model=f"model-{moment.day % 2}")
    with system_transaction():
        ExchangeRate.objects.create(currency="EUR", date=date(2026, 3, 31), per_usd="10")
    if rolled_up:
        rollups.roll_up()
    query = {"from": "2026-04-15" if by == "hour" else "2026-04-01", "to": "2026-05-14", "by": by}

    answer = as_json(api.get(BREAKDOWN, query))

    april = {"hour": Decimal("0.2"), "day": Decimal("1.2"), "day,model": Decimal("1.2")}.get(
        by, Decimal("0.4")
    )
    may = Decimal("0.3") + 2 * Decimal("0.4") + Decimal("0.5")
    assert Decimal(shown(answer["total"]) or 0) == april + may
    assert sum(Decimal(shown(each) or 0) for each in answer["results"]) == april + may
    if by == "month":
        assert [shown(each) for each in answer["results"]] == ["0.40", "1.60"]
    if by == "day":
        assert [shown(each) for each in answer["results"]] == ["1.00", "0.20", "0.30", "0.40", "0.40", "0.50"]


def test_a_part_of_a_month_is_converted_by_days(
    agency: Tenant, api: APIClient, price_id: int, euros: None
) -> None:
    spend(agency, price_id, "1", at(4, 29))
    spend(agency, price_id, "1", at(4, 28))
    answer = as_json(api.get(BREAKDOWN, {"from": "2026-04-29", "to": "2026-04-30", "by": "model"}))
    assert shown(answer["total"]) == "2.00"


def test_the_groups_that_are_not_shown_are_in_the_total(
    agency: Tenant, api: APIClient, price_id: int, euros: None
) -> None:
    for model, dollars in (("a", "1"), ("b", "2"), ("c", "3")):
        spend(agency, price_id, dollars, at(5, 14), model=model)
    answer = as_json(api.get(BREAKDOWN, {"by": "model", "limit": "1"}))
    assert [shown(each) for each in answer["results"]] == ["15.00"]
    assert shown(answer["total"]) == "30.00"


@ROLLED
def test_what_has_no_rate_is_shown_in_dollars_alone_and_says_why(
    agency: Tenant, api: APIClient, price_id: int, euros: None, rolled_up: bool
) -> None:
    spend(agency, price_id, "1", at(4, 20), model="old")
    spend(agency, price_id, "1", at(5, 13), model="new")
    if rolled_up:
        rollups.roll_up()

    answer = as_json(api.get(BREAKDOWN, {"from": "2026-04-15", "to": "2026-05-14", "by": "model"}))
    whole = as_json(api.get(BREAKDOWN, {"from": "2026-04-01", "to": "2026-05-14", "by": "model"}))

    assert {each["model"]: shown(each) for each in answer["results"]} == {"old": None, "new": "4.00"}
    assert shown(answer["total"]) is None
    assert answer["total"]["cost"]["amount"] == "2.00"
    assert answer["display_missing"] == (
        "There is no rate of EUR before 2026-04-29, so what includes earlier days is shown in USD alone."
    )
    # The whole of April has a rate: that of its last day.
    assert (shown(whole["total"]), whole["display_missing"]) == ("6.00", None)


def test_a_currency_without_any_rate_says_so(agency: Tenant, api: APIClient, price_id: int) -> None:
    with system_transaction():
        choose_currency(tenant=agency, currency="EUR", without_rates=True)
    spend(agency, price_id, "1", NOON)

    for answer in (as_json(api.get(STATS)), as_json(api.get(BREAKDOWN))):
        assert answer["display_currency"] == "EUR"
        assert answer["display_missing"].startswith("There is no rate of EUR for these days")
    assert as_json(api.get(STATS))["today"]["total"]["display"] is None


def test_nothing_spent_is_nothing_in_any_currency(agency: Tenant, api: APIClient, euros: None) -> None:
    stats, breakdown = as_json(api.get(STATS)), as_json(api.get(BREAKDOWN))
    assert shown(stats["previous_month"]["total"]) == shown(breakdown["total"]) == "0.00"
    assert (stats["display_missing"], breakdown["display_missing"]) == (None, None)


def test_days_are_the_tenants_own(agency: Tenant, api: APIClient, price_id: int, euros: None) -> None:
    change_time_zone(tenant=agency, time_zone="Pacific/Auckland", now=NOON)
    spend(agency, price_id, "1", at(5, 11, 13))  # there it is the 12th already

    answer = as_json(api.get(BREAKDOWN, {"from": "2026-05-12", "to": "2026-05-12", "by": "hour"}))

    assert shown(answer["total"]) == "4.00"


def test_it_is_exact_to_ten_places_however_small(agency: Tenant, api: APIClient, price_id: int) -> None:
    with system_transaction():
        choose_currency(tenant=agency, currency="EUR", without_rates=True)
        ExchangeRate.objects.create(currency="EUR", date=date(2026, 1, 1), per_usd=Decimal("0.3333333333"))
    for _ in range(3):
        spend(agency, price_id, "0.0000000001", NOON)
    spend(agency, price_id, "123456789.0123456789", NOON)

    answer = as_json(api.get(STATS))

    exact = (Decimal("123456789.0123456789") + 3 * Decimal("0.0000000001")) * Decimal("0.3333333333")
    assert shown(answer["today"]["total"]) == f"{round(exact, 10):f}".rstrip("0")


def test_ten_years_are_converted_too(agency: Tenant, api: APIClient, price_id: int, euros: None) -> None:
    spend(agency, price_id, "1", at(4, 1))
    spend(agency, price_id, "1", at(5, 14))
    for until in ("2026-05-14", "2026-05-31"):
        answer = as_json(api.get(BREAKDOWN, {"from": "2016-06-01", "to": until, "by": "model"}))
        assert shown(answer["total"]) == "7.00"
    assert api.get(BREAKDOWN, {"from": "2096-01-01", "to": "2100-12-31"}).status_code == 200


def test_a_file_has_two_more_columns(agency: Tenant, api: APIClient, price_id: int, euros: None) -> None:
    spend(agency, price_id, "1", at(5, 13), model="new")
    spend(agency, price_id, "1", at(4, 20), model="old")
    query = {"from": "2026-04-15", "to": "2026-05-14", "by": "model", "format": "csv", "order": "model"}

    answer: Any = api.get(BREAKDOWN, query)

    head, *lines = csv.reader(StringIO(b"".join(answer.streaming_content).decode()))
    assert head[-4:] == ["amount", "currency", "display_amount", "display_currency"]
    assert [line[-4:] for line in lines] == [["1.00", "USD", "4.00", "EUR"], ["1.00", "USD", "", "EUR"]]


def test_it_costs_one_small_query_more(agency: Tenant, api: APIClient, price_id: int) -> None:
    def statements(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert api.get(path).status_code == 200
        return len(queries)

    api.get(STATS)
    before = [statements(path) for path in (STATS, BREAKDOWN)]
    with system_transaction():
        choose_currency(tenant=agency, currency="EUR", without_rates=True)
        ExchangeRate.objects.create(currency="EUR", date=NOON.date() - timedelta(days=60), per_usd="1")

    assert [statements(path) for path in (STATS, BREAKDOWN)] == [number + 1 for number in before]


def euro(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("budgets", "forecasts"):
        monkeypatch.setattr(f"apps.costs.views.{module}.timezone.now", lambda: NOON)


@pytest.mark.usefixtures("noon")
def test_budgets_are_shown_at_todays_rate(agency: Tenant, api: APIClient, price_id: int, euros: None) -> None:
    """All of it: so what is spent and what is left make the limit in euros, too."""
    spend(agency, price_id, "2", at(5, 1))
    create_budget(tenant_id=agency.pk, limit=Decimal("10.5"), now=NOON)

    (found,) = as_json(api.get("/api/v2/costs/budgets"))["results"]

    assert (found["display_currency"], found["display_missing"]) == ("EUR", None)
    assert found["limit"] == {"amount": "10.50", "currency": "USD"}
    assert found["display"] == euro("52.50")
    assert found["current"]["display"] == {
        "spent": euro("10.00"),
        "held": euro("0.00"),
        "remaining": euro("42.50"),
    }
    assert found["current"]["shadow"]["display"] == euro("0.00")


@pytest.mark.usefixtures("noon")
def test_a_forecast_is_shown_at_todays_rate(
    agency: Tenant, api: APIClient, price_id: int, euros: None
) -> None:
    spend(agency, price_id, "2", at(5, 1))
    made = create_budget(tenant_id=agency.pk, limit=Decimal(20), now=NOON)
    band = DayBand(date(2026, 5, 31), Band(*map(Decimal, (10, 8, 12, 7, 13)))).as_json()
    first = DayBand(date(2026, 5, 1), Band.known(Decimal(2))).as_json()
    with system_transaction():
        Forecast.objects.create(
            tenant_id=agency.pk,
            made_on=NOON.date(),
            made_at=NOON,
            month=date(2026, 5, 1),
            method="ets",
            observed_days=60,
            spent="2",
            **dict.fromkeys(("point", "low_80", "high_80", "low_95", "high_95"), "10"),
            days=[band],
            totals=[first, band],
            budget_totals={str(made.pk): [first, band]},
        )

    answer = as_json(api.get("/api/v2/costs/forecast"))

    shown = {
        "point": euro("50.00"),
        "interval_80": {"low": euro("40.00"), "high": euro("60.00")},
        "interval_95": {"low": euro("35.00"), "high": euro("65.00")},
    }
    assert (answer["display"], answer["display_currency"]) == (euro("10.00"), "EUR")
    assert answer["month_end"]["display"] == answer["days"][0]["display"] == shown
    assert answer["totals"][1]["display"] == answer["budgets"][0]["period_end"]["display"] == shown
    assert answer["budgets"][0]["display"] == {"limit": euro("100.00"), "spent_so_far": euro("10.00")}
    assert answer["month_end"]["point"] == {"amount": "10.00", "currency": "USD"}


@pytest.mark.usefixtures("noon")
def test_without_a_rate_budgets_and_forecasts_say_so(agency: Tenant, api: APIClient, price_id: int) -> None:
    with system_transaction():
        choose_currency(tenant=agency, currency="CHF", without_rates=True)
    create_budget(tenant_id=agency.pk, limit=Decimal(10), now=NOON)

    (budget,) = as_json(api.get("/api/v2/costs/budgets"))["results"]
    forecast = as_json(api.get("/api/v2/costs/forecast"))

    for answer in (budget, forecast):
        assert (answer["display"], answer["display_currency"]) == (None, "CHF")
        assert "no rate of CHF" in answer["display_missing"]
    assert budget["current"]["display"] == {"spent": None, "held": None, "remaining": None}
    assert forecast["budgets"][0]["display"] == {"limit": None, "spent_so_far": None}
