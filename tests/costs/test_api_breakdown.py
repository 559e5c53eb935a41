"""GET /api/v2/costs/breakdown: what a tenant has spent, by what is asked for, as JSON or as a file."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import combinations_with_replacement
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.costs.rollup_reading import Dimension
from apps.costs.serializers.reports import CostsSerializer, GroupSerializer
from apps.costs.services import rollups
from apps.costs.services.budgets import change_time_zone
from apps.costs.views import reports
from apps.tenants.models import Tenant
from tests.conftest import as_json
from tests.costs.rolled import enter, row

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]

STATS, BREAKDOWN = "/api/v2/costs/stats", "/api/v2/costs/breakdown"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)  # a Thursday


@pytest.fixture
def thursday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.costs.views.reports.timezone.now", lambda: NOON)


def amounts(answer: Any, *dimensions: str) -> list[tuple[Any, ...]]:
    return [(*(each[name] for name in dimensions), each["cost"]["amount"]) for each in answer["results"]]


def test_a_breakdown_adds_what_came_since_the_last_run(agency: Tenant, api: APIClient, price_id: int) -> None:
    enter(row(agency, price_id, amount=Decimal("1.5")))
    rollups.roll_up()
    enter(row(agency, price_id, amount=Decimal("0.0000000001"), model="gpt-4o"), row(agency, price_id))

    answer = as_json(api.get(BREAKDOWN, {"from": "2026-05-01", "to": "2026-05-31"}))

    assert answer["by"] == ["provider", "model"]
    assert answer["groups"] == 2
    assert amounts(answer, "provider", "model") == [
        ("openai", "gpt-3.5-turbo", "1.5123456789"),
        ("openai", "gpt-4o", "0.0000000001"),
    ]
    assert answer["total"]["cost"]["amount"] == "1.512345679"
    assert answer["total"]["attempts"] == 3


@pytest.mark.parametrize("rolled_up", [False, True])
def test_every_pair_of_dimensions_adds_up_to_the_same(
    agency: Tenant, stranger: Tenant, api: APIClient, price_id: int, rolled_up: bool
) -> None:
    accounts, campaigns = [None, uuid7()], [None, uuid7(), uuid7()]
    instants = [datetime(2026, 3, 30, 22, tzinfo=UTC) + timedelta(hours=7 * step) for step in range(30)]
    entries = [
        row(
            (agency, stranger)[number % 5 == 0],
            price_id,
            occurred_at=at,
            account_id=accounts[number % 2],
            campaign_id=campaigns[number % 3],
            task_kind=("message", "caption")[number % 4 == 0],
            amount=Decimal(number) / 7,
        )
        for number, at in enumerate(instants)
    ]
    for each in entries:
        each["amount"] = round(each["amount"], 10)
    enter(*entries)
    if rolled_up:
        rollups.roll_up()
    first, last = date(2026, 3, 31), date(2026, 4, 7)
    mine = [each for each in entries if each["tenant_id"] == agency.pk]
    inside = [each for each in mine if first <= each["occurred_at"].date() <= last]
    dimensions = ["hour", "day", "month", "provider", "model", "task_kind", "account", "campaign", "user"]

    for one in dimensions:
        for other in dimensions:
            if one != other:
                query = {"from": f"{first}", "to": f"{last}", "by": f"{one},{other}", "limit": "1000"}
                answer = as_json(api.get(BREAKDOWN, query))
                assert answer["total"]["attempts"] == len(inside)
                assert Decimal(answer["total"]["cost"]["amount"]) == sum(each["amount"] for each in inside)
                assert len(answer["results"]) == answer["groups"]
                assert all(set(each) & set(dimensions) == {one, other} for each in answer["results"])
                found = sum(Decimal(each["cost"]["amount"]) for each in answer["results"])
                assert found == sum(each["amount"] for each in inside)


@pytest.mark.parametrize("rolled_up", [False, True])
def test_any_filters_leave_what_fits_them_by_any_two_dimensions(
    agency: Tenant, stranger: Tenant, api: APIClient, price_id: int, rolled_up: bool
) -> None:
    whom = {name: [uuid7(), uuid7(), None] for name in ("account_id", "campaign_id", "user_id")}
    entries = [
        row(
            (agency, stranger)[number % 11 == 0],
            price_id,
            occurred_at=datetime(2026, 3, 20, 12, tzinfo=UTC) + timedelta(days=number),
            provider=("openai", "azure")[number % 2],
            model=("gpt-4o", "gpt-3.5-turbo")[number // 2 % 2],
            task_kind=("message", "caption")[number // 4 % 2],
            amount=Decimal(number + 1),
            **{name: each[number // 3**place % 3] for place, (name, each) in enumerate(whom.items())},
        )
        for number in range(60)
    ]
    enter(*entries)
    if rolled_up:
        rollups.roll_up()
    filters: dict[str, Any] = {"provider": "azure", "model": "gpt-4o", "task_kind": "message"}
    filters |= {name.removesuffix("_id"): each[0] for name, each in whom.items()}
    mine = [each for each in entries if each["tenant_id"] == agency.pk]

    for one, other in combinations_with_replacement(filters, 2):
        only = {one: filters[one], other: filters[other]}
        fitting = [each for each in mine if all(value(each, name) == only[name] for name in only)]
        assert 0 < len(fitting) < len(mine)
        for by in ("day,model", "month,user", "hour,campaign", "provider,account", "task_kind"):
            since = "2026-04-19" if "hour" in by else "2026-03-20"
            inside = [each for each in fitting if f"{each['occurred_at']:%Y-%m-%d}" >= since]
            query: dict[str, Any] = {"from": since, "to": "2026-05-18", "by": by, "limit": "1000", **only}
            answer = as_json(api.get(BREAKDOWN, query))
            assert answer["total"]["attempts"] == len(inside)
            assert Decimal(answer["total"]["cost"]["amount"]) == sum(each["amount"] for each in inside)
            found = sum(Decimal(each["cost"]["amount"]) for each in answer["results"])
            assert found == sum(each["amount"] for each in inside)


def value(entry: dict[str, Any], name: str) -> Any:
    return entry[name] if name in entry else entry[f"{name}_id"]


@pytest.mark.usefixtures("thursday")
def test_rows_have_the_fields_that_the_schema_gives_them(
    agency: Tenant, api: APIClient, price_id: int
) -> None:
    enter(row(agency, price_id))
    sums = {*CostsSerializer().fields}

    for name in Dimension:
        query = {"from": "2026-05-01", "to": "2026-05-31", "by": name}
        [found] = as_json(api.get(BREAKDOWN, query))["results"]
        assert set(found) == {*sums, name}
        assert name in GroupSerializer().fields
    answer = as_json(api.get(STATS))
    assert set(answer["today"]["total"]) == sums
    assert set(answer["this_month"]["by_provider"][0]) == {*sums, "provider"}


def test_a_file_has_what_the_filters_leave(agency: Tenant, api: APIClient, price_id: int) -> None:
    campaign = uuid7()
    enter(row(agency, price_id, campaign_id=campaign, amount=Decimal("0.5")), row(agency, price_id))
    days = {"from": "2026-05-01", "to": "2026-05-31", "by": "day,model"}

    response = api.get(BREAKDOWN, {**days, "campaign": str(campaign), "format": "csv"})

    [_, *lines] = csv.reader(StringIO(text(response)))
    assert lines == [["2026-05-05", "gpt-3.5-turbo", "1", "0", "10", "3", "5", "0.50", "USD"]]


def test_a_strangers_campaign_leaves_nothing(agency: Tenant, stranger_api: APIClient, price_id: int) -> None:
    campaign = uuid7()
    enter(row(agency, price_id, campaign_id=campaign))
    rollups.roll_up()

    query = {"from": "2026-05-01", "to": "2026-05-31", "campaign": str(campaign)}

    assert as_json(stranger_api.get(BREAKDOWN, query))["total"]["attempts"] == 0


def test_a_parameter_given_twice_is_refused(api: APIClient) -> None:
    response = api.get(f"{BREAKDOWN}?model=gpt-4o&model=gpt-3.5-turbo")
    assert (response.status_code, as_json(response)["error"]["fields"]) == (
        400,
        {"model": "Give this parameter once."},
    )


def test_a_range_of_months_and_days_is_read_from_both(agency: Tenant, api: APIClient, price_id: int) -> None:
    ends = [date(2026, 3, 9), date(2026, 3, 10), date(2026, 4, 30), date(2026, 5, 1), date(2026, 6, 3)]
    enter(
        *(
            row(agency, price_id, occurred_at=datetime(day.year, day.month, day.day, 23, tzinfo=UTC))
            for day in [*ends, date(2026, 6, 4)]
        )
    )
    rollups.roll_up()

    answer = as_json(api.get(BREAKDOWN, {"from": "2026-03-10", "to": "2026-06-03", "by": "month"}))

    found = [(each["month"], each["attempts"]) for each in answer["results"]]
    assert found == [("2026-03-01", 1), ("2026-04-01", 1), ("2026-05-01", 1), ("2026-06-01", 1)]


def test_an_hour_that_the_clock_repeats_is_there_twice(agency: Tenant, api: APIClient, price_id: int) -> None:
    change_time_zone(tenant=agency, time_zone="Europe/Berlin", now=NOON)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    enter(*(row(agency, price_id, occurred_at=first + timedelta(hours=hours)) for hours in (0, 1)))
    rollups.roll_up()

    answer = as_json(api.get(BREAKDOWN, {"from": "2026-10-25", "to": "2026-10-25", "by": "hour"}))

    assert [each["hour"] for each in answer["results"]] == ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]
    local = [
        datetime.fromisoformat(each["hour"]).astimezone(ZoneInfo("Europe/Berlin")).hour
        for each in answer["results"]
    ]
    assert local == [2, 2]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("", ["c", "b", "a"]),
        ("-cost", ["c", "b", "a"]),
        ("cost", ["a", "b", "c"]),
        ("-input_tokens", ["a", "c", "b"]),
        ("model", ["a", "b", "c"]),
        ("-model", ["c", "b", "a"]),
    ],
)
def test_groups_come_in_the_order_asked_for(
    agency: Tenant, api: APIClient, price_id: int, order: str, expected: list[str]
) -> None:
    for dollars, model, tokens in ((1, "a", 30), (2, "b", 10), (3, "c", 20)):
        enter(row(agency, price_id, model=model, amount=Decimal(dollars), input_tokens=tokens))
    query = {"from": "2026-05-01", "to": "2026-05-31", "by": "model", **({"order": order} if order else {})}

    answer = as_json(api.get(BREAKDOWN, query))
    best = as_json(api.get(BREAKDOWN, {**query, "limit": "1"}))

    assert [each["model"] for each in answer["results"]] == expected
    assert [each["model"] for each in best["results"]] == expected[:1]
    assert (best["groups"], best["total"]) == (3, answer["total"])


def test_nobody_sees_what_another_tenant_has_spent(
    agency: Tenant, api: APIClient, stranger_api: APIClient, price_id: int
) -> None:
    query = {"from": "2026-05-01", "to": "2026-05-31"}
    enter(row(agency, price_id))
    rollups.roll_up()
    enter(row(agency, price_id))

    assert as_json(api.get(BREAKDOWN, query))["total"]["attempts"] == 2
    assert as_json(stranger_api.get(BREAKDOWN, query))["results"] == []
    assert as_json(stranger_api.get(BREAKDOWN, query))["total"]["attempts"] == 0
    assert len(list(csv.reader(StringIO(text(stranger_api.get(BREAKDOWN, {**query, "format": "csv"})))))) == 1


def test_whoever_may_only_read_may_read_this_and_nobody_else_may(analyst_api: APIClient) -> None:
    assert analyst_api.get(STATS).status_code == 200
    assert analyst_api.get(BREAKDOWN).status_code == 200
    assert APIClient().get(STATS).status_code == 401
    assert APIClient().get(BREAKDOWN, {"format": "csv"}).status_code == 401


def test_without_days_it_is_the_month_so_far(
    agency: Tenant, api: APIClient, price_id: int, thursday: None
) -> None:
    enter(row(agency, price_id, occurred_at=NOON))

    answer = as_json(api.get(BREAKDOWN))

    assert (answer["from"], answer["to"], answer["groups"]) == ("2026-05-01", "2026-05-14", 1)


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"from": "yesterday"}, "from", "format"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "to", "ends before it begins"),
        ({"from": "2099-01-01"}, "from", "Give `to` as well"),
        ({"from": "0001-01-01", "to": "9999-12-31"}, "from", "Give a day from"),
        ({"from": "2010-01-01", "to": "2026-05-01"}, "from", "3660 days at most"),
        ({"from": "2026-01-01", "to": "2026-05-01", "by": "hour"}, "from", "31 days at most"),
        ({"from": "2024-01-01", "to": "2026-05-01", "by": "model,day"}, "from", "366 days at most"),
        ({"by": "colour"}, "by", "one or two"),
        ({"by": ""}, "by", "one or two"),
        ({"by": "model,model"}, "by", "one or two"),
        ({"by": "model,provider,day"}, "by", "one or two"),
        ({"order": "colour"}, "order", "Give a dimension"),
        ({"by": "model", "order": "-day"}, "order", "isn't among"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "1001"}, "limit", "less than or equal to 1000"),
        ({"format": "xml"}, "format", "not a valid choice"),
        ({"provider": "acme"}, "provider", "not a valid choice"),
        ({"task_kind": "mesage"}, "task_kind", "not a valid choice"),
        ({"model": ""}, "model", "may not be blank"),
        ({"account": "mine"}, "account", "valid UUID"),
        ({"campaign": ""}, "campaign", "valid UUID"),
        ({"user": "7"}, "user", "valid UUID"),
        ({"tenant": "all"}, "tenant", "unknown"),
    ],
)
def test_what_can_not_be_answered_is_refused_by_name(
    api: APIClient, query: dict[str, str], field: str, words: str
) -> None:
    response = api.get(BREAKDOWN, query)

    assert response.status_code == 400
    assert words in as_json(response)["error"]["fields"][field]


def text(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_a_file_has_every_group_in_any_script(agency: Tenant, api: APIClient, price_id: int) -> None:
    account = uuid7()
    enter(
        row(agency, price_id, model="модель-é, “zitiert”", account_id=account, amount=Decimal("0.5")),
        row(agency, price_id, model="=1+1", amount=Decimal("0.25")),
    )
    query = {"from": "2026-05-01", "to": "2026-05-31", "by": "account,model", "format": "csv"}

    response = api.get(BREAKDOWN, query, headers={"Accept": "text/csv"})

    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    name = "costs_2026-05-01_2026-05-31_by_account_model.csv"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    head, *lines = csv.reader(StringIO(text(response)))
    sums = ["attempts", "estimated", "input_tokens", "cached_tokens", "output_tokens", "amount", "currency"]
    assert head == ["account", "model", *sums]
    assert lines == [
        [str(account), "модель-é, “zitiert”", "1", "0", "10", "3", "5", "0.50", "USD"],
        ["", "'=1+1", "1", "0", "10", "3", "5", "0.25", "USD"],
    ]


def test_a_file_that_would_be_too_large_is_refused_and_not_cut(
    agency: Tenant, api: APIClient, price_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(*(row(agency, price_id, model=f"model-{number}") for number in range(3)))
    query = {"from": "2026-05-01", "to": "2026-05-31", "by": "model", "format": "csv", "limit": "1"}
    assert len(text(api.get(BREAKDOWN, query)).splitlines()) == 4

    monkeypatch.setattr(reports, "MOST_ROWS", 2)

    response = api.get(BREAKDOWN, query)
    assert response.status_code == 400
    assert "fewer days" in as_json(response)["error"]["message"]
