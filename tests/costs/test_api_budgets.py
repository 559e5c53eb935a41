"""Budgets over the API: made, read, changed, their thresholds set; each with how its period stands."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetScope
from apps.costs.services import holds
from apps.costs.services.budgets import change_time_zone, create_budget
from apps.messaging.models import Account
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Role, Tenant
from tests import factories
from tests.conftest import as_json, client_of
from tests.costs.spending import dollar_price, dollars, take
from tests.costs.threads import at_once
from tests.services import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

BUDGETS, THRESHOLDS = "/api/v2/costs/budgets", "/api/v2/costs/thresholds"


@pytest.fixture(autouse=True)
def _price(db: None) -> None:
    dollar_price()


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def make(api: APIClient, status: int = 201, **body: Any) -> Any:
    response = api.post(BUDGETS, body, format="json")
    assert response.status_code == status, response.content
    return as_json(response)


def read(api: APIClient, budget_id: str) -> Any:
    response = api.get(f"{BUDGETS}/{budget_id}")
    assert response.status_code == 200, response.content
    return as_json(response)


def change(api: APIClient, budget_id: str, status: int = 200, **body: Any) -> Any:
    response = api.patch(f"{BUDGETS}/{budget_id}", body, format="json")
    assert response.status_code == status, response.content
    return as_json(response)


def listed(api: APIClient, **query: str) -> list[str]:
    response = api.get(BUDGETS, query)
    assert response.status_code == 200, response.content
    return [each["id"] for each in as_json(response)["results"]]


def test_a_budget_is_made_with_defaults_and_counts_what_there_is(agency: Tenant, api: APIClient) -> None:
    holds.settle(hold=take(agency, 20), usage=dollars(20), now=timezone.now())
    take(agency, 5)

    made = make(api, limit="50.00")

    assert made == read(api, made["id"])
    current = made.pop("current")
    del made["id"], made["created_at"]
    assert made == {
        "scope": "tenant",
        "scope_id": None,
        "provider": None,
        "period": "month",
        "limit": money("50.00"),
        "display": money("50.00"),
        "mode": "stop",
        "thresholds": [50, 80, 100],
        "is_active": True,
        "display_currency": "USD",
        "display_missing": None,
    }
    start, end = (datetime.fromisoformat(current.pop(name)) for name in ("start", "end"))
    assert start <= timezone.now() < end
    assert current == {
        "spent": money("20.00"),
        "held": money("5.00"),
        "remaining": money("25.00"),
        "display": {"spent": money("20.00"), "held": money("5.00"), "remaining": money("25.00")},
        "percent": 40.0,
        "exhausted": False,
        "shadow": {"calls": 0, "amount": money("0.00"), "display": money("0.00")},
    }


def test_a_budget_shows_what_shadow_mode_would_have_stopped(agency: Tenant, api: APIClient) -> None:
    made = make(api, limit={"amount": "10", "currency": "USD"}, mode="shadow", thresholds=[90, 10])
    assert made["thresholds"] == [10, 90]

    holds.settle(hold=take(agency, 10), usage=dollars(10), now=timezone.now())
    take(agency, 3)

    current = read(api, made["id"])["current"]
    assert current["shadow"] == {"calls": 1, "amount": money("3.00"), "display": money("3.00")}
    assert (current["remaining"], current["percent"], current["exhausted"]) == (money("0.00"), 100.0, True)


def test_the_requests_in_the_docs_work(api: APIClient) -> None:
    """In their order: two budgets are made, changed, and given thresholds."""
    page = (ROOT / "docs" / "costs.md").read_text()
    requests = re.findall(
        r"^(POST|PATCH)\s+(/api/v2/costs/\S+)\s+({.*?})(?:\s{3,}also .*)?$", page, re.MULTILINE
    )
    assert [method for method, _, _ in requests] == ["POST", "POST", "PATCH", "POST", "POST"]
    made = ""
    for method, path, body in requests:
        path, body = (each.replace("{id}", made) for each in (path, body))
        response = api.generic(method, path, body, content_type="application/json")
        assert response.status_code in (200, 201), response.content
        made = as_json(response).get("id", made)
    assert as_json(response) == {"budgets": 2, "thresholds": [75, 90, 100]}


def test_what_is_almost_spent_does_not_show_as_spent(agency: Tenant, api: APIClient) -> None:
    made = make(api, limit="30000")
    holds.settle(hold=take(agency, 29_999), usage=dollars(29_999), now=timezone.now())
    assert read(api, made["id"])["current"]["percent"] == 99.9
    nothing = make(api, limit=0, period="day", mode="watch")["current"]
    assert (nothing["percent"], nothing["exhausted"]) == (None, True)


@pytest.mark.parametrize(
    ("period", "at", "start", "end"),
    [
        # A day of 23 hours, as clocks go forward; and the month and week around it.
        ("day", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("week", "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("month", "2026-03-29T12:00:00Z", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
        ("day", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    ],
)
def test_the_period_is_the_tenants_calendars(
    agency: Tenant,
    api: APIClient,
    monkeypatch: pytest.MonkeyPatch,
    period: str,
    at: str,
    start: str,
    end: str,
) -> None:
    now = datetime.fromisoformat(at)
    monkeypatch.setattr("apps.costs.views.budgets.timezone.now", lambda: now)
    change_time_zone(tenant=agency, time_zone="Europe/Paris", now=now)

    current = make(api, limit="1.00", period=period)["current"]

    assert (current["start"], current["end"]) == (start, end)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "UTC", "Pacific/Auckland"])
@pytest.mark.parametrize("hour", [0, 11, 12, 23])
def test_by_whichever_clock_the_present_counter_is_found(
    agency: Tenant, api: APIClient, monkeypatch: pytest.MonkeyPatch, zone: str, hour: int
) -> None:
    now = datetime(2026, 6, 1, hour, 30, tzinfo=UTC)
    factories.price(model="old", starts_at=datetime(2026, 1, 1, tzinfo=UTC), input_per_million=1_000_000)
    monkeypatch.setattr("apps.costs.views.budgets.timezone.now", lambda: now)
    change_time_zone(tenant=agency, time_zone=zone, now=now)
    ids = [make(api, limit="9.00", period=period)["id"] for period in ("day", "week", "month")]

    take(agency, 2, model="old", now=now)

    assert [read(api, each)["current"]["held"] for each in ids] == [money("2.00")] * 3


def test_budgets_are_for_what_the_tenant_has(
    agency: Tenant, stranger: Tenant, account: Account, api: APIClient
) -> None:
    mine = {
        "account": account.pk,
        "campaign": factories.campaign(tenant=agency, accounts=[account]).pk,
        "user": factories.user(tenant=agency, role=Role.ANALYST).pk,
    }
    theirs = factories.account(tenant=stranger)
    others = {
        "account": theirs.pk,
        "campaign": factories.campaign(tenant=stranger, accounts=[theirs]).pk,
        "user": factories.user(tenant=stranger, role=Role.ANALYST).pk,
    }
    for scope in mine:
        for missing in (others[scope], uuid7()):
            error = make(api, 404, scope=scope, scope_id=str(missing), limit="5.00")["error"]
            assert error["fields"] == {"scope_id": f"There is no such {scope}."}
        made = make(api, scope=scope, scope_id=str(mine[scope]), limit="5.00")
        assert (made["scope"], made["scope_id"]) == (scope, str(mine[scope]))
    assert make(api, scope="provider", provider="azure", limit="5.00")["provider"] == "azure"


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "limit", "required"),
        ({"limit": None}, "limit", "null"),
        ({"limit": "-0.01"}, "limit", "greater than or equal to 0"),
        ({"limit": "0.00000000001"}, "limit", "10 decimal places"),
        ({"limit": "99999999999"}, "limit", "10 digits before"),
        ({"limit": "a lot"}, "limit", "valid number"),
        ({"limit": []}, "limit", "valid number"),
        ({"limit": "NaN"}, "limit", "valid number"),
        ({"limit": {"amount": "5", "currency": "EUR"}}, "limit.currency", "in USD"),
        ({"limit": {"currency": "USD"}}, "limit.amount", "required"),
        ({"limit": {"amount": "5", "cents": 1}}, "limit.cents", "unknown"),
        ({"limit": "5", "scope": "galaxy"}, "scope", "not a valid choice"),
        ({"limit": "5", "scope": "campaign"}, "scope_id", "Give the id of the campaign"),
        ({"limit": "5", "scope_id": str(uuid7())}, "scope_id", "scope tenant has none"),
        ({"limit": "5", "scope": "user", "scope_id": "me"}, "scope_id", "UUID"),
        ({"limit": "5", "scope": "provider"}, "provider", "one of openai, azure"),
        ({"limit": "5", "scope": "provider", "provider": "OpenAI"}, "provider", "not a valid choice"),
        ({"limit": "5", "provider": "azure"}, "provider", "Only a budget of the scope provider"),
        ({"limit": "5", "period": "year"}, "period", "not a valid choice"),
        ({"limit": "5", "mode": "hard"}, "mode", "not a valid choice"),
        ({"limit": "5", "hard_stop": True}, "hard_stop", "there are: is_active, limit, mode"),
        ({"limit": "5", "thresholds": [50, 50]}, "thresholds", "50 % is given twice"),
        ({"limit": "5", "thresholds": [0]}, "thresholds", "from 1 to 1000"),
        ({"limit": "5", "thresholds": [50.5]}, "thresholds.0", "valid integer"),
        ({"limit": "5", "thresholds": list(range(1, 22))}, "thresholds", "At most 20"),
        ({"limit": "5", "thresholds": "50"}, "thresholds", "list"),
    ],
)
def test_what_can_be_no_budget_is_refused_by_name(
    api: APIClient, body: dict[str, Any], field: str, words: str
) -> None:
    error = make(api, 400, **body)["error"]
    assert words in error["fields"][field]
    assert listed(api) == []


def test_a_second_budget_for_the_same_is_a_conflict(api: APIClient) -> None:
    make(api, limit="5.00")
    error = make(api, 409, limit="6.00", mode="watch")["error"]
    assert error["code"] == "conflict"
    assert "change its limit" in error["message"]
    make(api, limit="6.00", period="day")


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({}, "period"),
        ({"scope": "account"}, "scope_id"),
        ({"scope": "provider", "provider": "azure"}, "provider"),
    ],
)
def test_a_conflict_names_what_there_is_a_budget_of_already(
    api: APIClient, account: Account, scope: dict[str, str], field: str
) -> None:
    given: dict[str, Any] = {**scope, "limit": "5.00"}
    if field == "scope_id":
        given["scope_id"] = str(account.pk)
    made = make(api, **given)
    error = make(api, 409, **given)["error"]
    assert error["fields"] == {field: error["message"], "budget": made["id"]}


def test_a_conflict_with_a_budget_that_is_off_says_to_switch_it_on(api: APIClient) -> None:
    made = make(api, limit="5.00", is_active=False)
    error = make(api, 409, limit="6.00")["error"]
    assert "switched off: switch it on again" in error["message"]
    assert error["fields"]["budget"] == made["id"]


def test_of_two_at_once_one_makes_the_budget(agency: Tenant) -> None:
    clients = [client_of(agency) for _ in range(8)]

    answers = at_once(
        8, lambda index: clients[index].post(BUDGETS, {"limit": "5"}, format="json").status_code
    )

    assert sorted(answers) == [201, *[409] * 7]
    with tenant_transaction(agency):
        assert Budget.objects.get().counters.count() == 1


def test_a_post_that_is_sent_again_makes_nothing_more(agency: Tenant, api: APIClient) -> None:
    first, again = (
        api.post(BUDGETS, {"limit": "5"}, format="json", headers={"Idempotency-Key": "k1"}) for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Idempotency-Replayed"] == "true"
    assert as_json(first) == as_json(again)
    assert len(listed(api)) == 1


def test_what_is_given_is_changed_and_the_rest_stays(agency: Tenant, api: APIClient) -> None:
    made = make(api, limit="50.00")
    changed = change(api, made["id"], limit="60.5", mode="shadow", thresholds=[100, 1], is_active=False)
    assert [changed[name] for name in ("limit", "mode", "thresholds", "is_active")] == [
        *(money("60.50"), "shadow", [1, 100], False)
    ]
    assert change(api, made["id"]) == read(api, made["id"]) == changed
    assert change(api, made["id"], thresholds=[])["limit"] == money("60.50")


def test_a_limit_may_go_below_what_is_spent_and_the_answer_says_so(agency: Tenant, api: APIClient) -> None:
    made = make(api, limit="50.00")
    holds.settle(hold=take(agency, 40), usage=dollars(40), now=timezone.now())

    current = change(api, made["id"], limit={"amount": "30.00"})["current"]

    assert (current["exhausted"], current["percent"], current["remaining"]) == (True, 133.3, money("0.00"))


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"scope": "tenant"}, "scope", "settled when a budget is made"),
        ({"scope_id": None}, "scope_id", "make another"),
        ({"provider": "azure"}, "provider", "make another"),
        ({"period": "day", "limit": "1"}, "period", "make another"),
        ({"currency": "USD"}, "currency", "there are: is_active, limit, mode, thresholds"),
        ({"limit": None}, "limit", "null"),
        ({"mode": ""}, "mode", "not a valid choice"),
        ({"thresholds": [1001]}, "thresholds", "which 1001 isn't"),
    ],
)
def test_what_can_not_be_changed_is_refused_by_name(
    api: APIClient, body: dict[str, Any], field: str, words: str
) -> None:
    made = make(api, limit="5.00")
    assert words in change(api, made["id"], 400, **body)["error"]["fields"][field]
    assert read(api, made["id"])["limit"] == money("5.00")


def test_a_stranger_finds_nothing_and_changes_nothing(api: APIClient, stranger_api: APIClient) -> None:
    made = make(api, limit="5.00")
    assert listed(stranger_api) == []
    assert stranger_api.get(f"{BUDGETS}/{made['id']}").status_code == 404
    change(stranger_api, made["id"], 404, limit="500.00")
    body = {"budget": made["id"], "thresholds": [1]}
    assert stranger_api.post(THRESHOLDS, body, format="json").status_code == 404
    assert as_json(stranger_api.post(THRESHOLDS, {**body, "budget": None}, format="json"))["budgets"] == 0
    assert read(api, made["id"]) == made


def test_every_role_reads_and_managers_and_owners_change(agency: Tenant, api: APIClient) -> None:
    made = make(api, limit="5.00")
    for role in (Role.ANALYST, Role.CREATOR):
        client = client_of(agency, role)
        assert listed(client) == [made["id"]]
        assert read(client, made["id"])["id"] == made["id"]
        change(client, made["id"], 403, limit="6.00")
        make(client, 403, limit="6.00", period="day")
        assert client.post(THRESHOLDS, {"budget": None, "thresholds": []}, format="json").status_code == 403
    assert change(client_of(agency, Role.OWNER), made["id"], limit="6.00")["limit"] == money("6.00")
    assert APIClient().get(BUDGETS).status_code == 401


def test_the_list_is_filtered_and_goes_by_pages(agency: Tenant, api: APIClient) -> None:
    day = make(api, limit="1.00", period="day")["id"]
    month = make(api, limit="1.00", mode="watch")["id"]
    azure = make(api, limit="1.00", scope="provider", provider="azure", is_active=False)["id"]

    assert listed(api) == [azure, month, day]
    assert listed(api, scope="tenant") == [month, day]
    assert listed(api, period="day") == [day]
    assert listed(api, provider="azure") == [azure]
    assert listed(api, mode="watch") == [month]
    assert listed(api, is_active="false") == [azure]
    assert listed(api, is_active="true", period="month") == [month]
    first = as_json(api.get(BUDGETS, {"limit": "2"}))
    second = as_json(api.get(first["next"]))
    assert [each["id"] for each in first["results"] + second["results"]] == [azure, month, day]
    for query, field in (({"colour": "red"}, "colour"), ({"scope": "x"}, "scope"), ({"limit": "0"}, "limit")):
        response = api.get(BUDGETS, query)
        assert response.status_code == 400
        assert field in as_json(response)["error"]["fields"]


def test_a_longer_list_takes_no_more_statements(
    agency: Tenant, api: APIClient, django_assert_num_queries: Any
) -> None:
    def add(number: int) -> None:
        for _ in range(number):
            create_budget(
                tenant_id=agency.pk,
                scope=BudgetScope.USER,
                scope_id=uuid7(),
                limit=Decimal(1),
                now=timezone.now(),
            )

    add(1)
    listed(api)  # the first use of a key notes its time
    with django_assert_num_queries(5):
        listed(api)
    add(20)
    with django_assert_num_queries(5):
        assert len(listed(api)) == 21


def set_thresholds(api: APIClient, status: int = 200, **body: Any) -> Any:
    response = api.post(THRESHOLDS, body, format="json")
    assert response.status_code == status, response.content
    return as_json(response)


def test_thresholds_are_set_for_one_budget_or_all(api: APIClient) -> None:
    day, month = (make(api, limit="1.00", period=period)["id"] for period in ("day", "month"))

    assert set_thresholds(api, budget=None, thresholds=[90, 20]) == {"budgets": 2, "thresholds": [20, 90]}
    assert set_thresholds(api, budget=day, thresholds=[]) == {"budgets": 1, "thresholds": []}

    assert read(api, day)["thresholds"] == []
    assert read(api, month)["thresholds"] == [20, 90]


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"thresholds": [50]}, "budget", "required"),
        ({"budget": None}, "thresholds", "required"),
        ({"budget": "all", "thresholds": [50]}, "budget", "UUID"),
        ({"budget": None, "thresholds": [50, 5000]}, "thresholds", "which 5000 isn't"),
        ({"budget": None, "thresholds": [50], "period": "day"}, "period", "there are: budget, thresholds"),
    ],
)
def test_what_can_be_no_thresholds_is_refused_by_name(
    api: APIClient, body: dict[str, Any], field: str, words: str
) -> None:
    make(api, limit="1.00")
    assert words in set_thresholds(api, 400, **body)["error"]["fields"][field]
    assert set_thresholds(api, 404, budget=str(uuid7()), thresholds=[50])["error"]["fields"]["budget"]
