"""Accounts through the API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.messaging.models import Account
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json, client_of
from tests.costs.threads import at_once

ACCOUNTS = "/api/v2/accounts"
LUNA: dict[str, Any] = {
    "platform": "onlyfans",
    "external_id": "luna",
    "name": "Luna",
    "credential": "a very secret token",
}


def test_connecting_an_account_gives_the_fields_from_limit_on_their_defaults(api: APIClient) -> None:
    response = api.post(ACCOUNTS, LUNA)
    body = as_json(response)
    assert response.status_code == 201
    assert body["limit"] == {"count": 10, "seconds": 60}
    assert (body["time_zone"], body["quiet_hours"], body["paused"]) == ("UTC", None, False)
    assert as_json(api.get(f"{ACCOUNTS}/{body['id']}")) == body


def test_everything_that_is_given_is_kept(api: APIClient) -> None:
    given = {
        **LUNA,
        "name": "Lüna 🌙",
        "limit": {"count": 3, "seconds": 7},
        "time_zone": "Europe/Paris",
        "quiet_hours": {"start": "23:00:00", "end": "08:30:00"},
    }
    body = as_json(api.post(ACCOUNTS, given))
    assert {name: body[name] for name in given if name != "credential"} == {
        name: value for name, value in given.items() if name != "credential"
    }


def test_the_credential_is_never_shown_and_stored_encrypted(api: APIClient) -> None:
    response = api.post(ACCOUNTS, LUNA)
    listed = api.get(ACCOUNTS)
    assert LUNA["credential"].encode() not in response.content + listed.content
    with system_transaction():
        assert Account.objects.get().credential == LUNA["credential"]
        assert not Account.objects.extra(where=["credential LIKE '%%secret%%'"]).exists()


@pytest.mark.parametrize("who", ["api", "stranger_api"])
def test_an_account_of_a_platform_is_connected_once_whoever_asks(
    who: str, api: APIClient, request: pytest.FixtureRequest
) -> None:
    api.post(ACCOUNTS, LUNA)
    response = request.getfixturevalue(who).post(ACCOUNTS, {**LUNA, "name": "Again"})
    assert response.status_code == 409
    assert as_json(response)["error"]["code"] == "already_connected"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"platform": "myspace"}, "platform"),
        ({"external_id": ""}, "external_id"),
        ({"external_id": "x" * 129}, "external_id"),
        ({"name": None}, "name"),
        ({"name": {"first": "Luna"}}, "name"),
        ({"credential": ""}, "credential"),
        ({"limit": {"count": 0, "seconds": 60}}, "limit.count"),
        ({"limit": {"count": 10**30, "seconds": 60}}, "limit.count"),
        ({"limit": {"count": 1.5, "seconds": 60}}, "limit.count"),
        ({"limit": {"count": 10}}, "limit.seconds"),
        ({"limit": {"count": 10, "seconds": 60, "burst": 3}}, "limit.burst"),
        ({"limit": 10}, "limit.non_field_errors"),
        ({"limit": []}, "limit.non_field_errors"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"quiet_hours": {"start": "23:00"}}, "quiet_hours.end"),
        ({"quiet_hours": {"start": "25:00", "end": "08:00"}}, "quiet_hours.start"),
        ({"quiet_hours": {"start": "08:00", "end": "08:00"}}, "quiet_hours.non_field_errors"),
        ({"color": "red"}, "color"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(change: dict[str, Any], field: str, api: APIClient) -> None:
    response = api.post(ACCOUNTS, LUNA | change)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]
    assert as_json(api.get(ACCOUNTS))["results"] == []


def test_a_change_leaves_what_is_not_given(api: APIClient) -> None:
    before = as_json(api.post(ACCOUNTS, {**LUNA, "quiet_hours": {"start": "23:00:00", "end": "08:00:00"}}))
    url = f"{ACCOUNTS}/{before['id']}"
    response = api.patch(url, {"name": "Stella", "limit": {"count": 5, "seconds": 30}})
    assert response.status_code == 200
    changed = {"name": "Stella", "limit": {"count": 5, "seconds": 30}, "limit_is_own": True}
    assert as_json(response) == before | changed
    assert as_json(api.patch(url, {"quiet_hours": None}))["quiet_hours"] is None
    assert as_json(api.patch(url, {})) == as_json(api.get(url))


def test_platform_and_external_id_cannot_be_changed(account: Account, api: APIClient) -> None:
    response = api.patch(f"{ACCOUNTS}/{account.pk}", {"external_id": "another"})
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == ["external_id"]


def test_an_analyst_reads_and_writes_nothing(account: Account, agency: Tenant) -> None:
    analyst, creator = client_of(agency, Role.ANALYST), client_of(agency, Role.CREATOR)
    for client in (analyst, creator):
        assert client.get(ACCOUNTS).status_code == 200
        assert client.post(ACCOUNTS, LUNA).status_code == 403
        assert client.patch(f"{ACCOUNTS}/{account.pk}", {"name": "x"}).status_code == 403


def test_a_stranger_finds_no_account(account: Account, stranger_api: APIClient) -> None:
    assert as_json(stranger_api.get(ACCOUNTS))["results"] == []
    for response in (
        stranger_api.get(f"{ACCOUNTS}/{account.pk}"),
        stranger_api.patch(f"{ACCOUNTS}/{account.pk}", {"name": "Mine now"}),
    ):
        assert response.status_code == 404
        assert as_json(response)["error"]["code"] == "not_found"
    with system_transaction():
        assert Account.objects.get().name == account.name


def test_the_list_is_filtered(agency: Tenant, api: APIClient) -> None:
    factories.account(tenant=agency, platform="tiktok", external_id="tik")
    factories.account(tenant=agency, external_id="only")

    def found(query: str) -> list[str]:
        return [row["external_id"] for row in as_json(api.get(f"{ACCOUNTS}?{query}"))["results"]]

    assert found("platform=tiktok") == ["tik"]
    assert found("platform=tiktok&platform=onlyfans") == ["only", "tik"]
    assert found("external_id=only") == ["only"]
    assert found("paused=true") == []
    assert found("created_after=2100-01-01T00:00:00Z") == []


@pytest.mark.parametrize("number", [1, 12])
def test_listing_accounts_costs_the_same_queries_for_any_number(
    number: int, agency: Tenant, api: APIClient, django_assert_num_queries: Any
) -> None:
    for _ in range(number):
        factories.account(tenant=agency)
    api.get(ACCOUNTS)  # notes the key's use, once a minute
    with django_assert_num_queries(SAVEPOINTS_AND_SCOPES + 2):
        assert len(as_json(api.get(ACCOUNTS))["results"]) == number


# In a test's own transaction, each of the two doors opens a savepoint, sets its scope, gives the outer one
# back and releases the savepoint; besides, the key, the rows and the limits in force are read.
SAVEPOINTS_AND_SCOPES = 8


@pytest.mark.django_db(transaction=True)
def test_of_two_that_connect_the_same_account_at_once_one_is_told_so() -> None:
    clients = [client_of(factories.tenant()) for _ in range(2)]
    statuses = at_once(2, lambda index: clients[index].post(ACCOUNTS, LUNA).status_code)
    assert sorted(statuses) == [201, 409]


def test_a_new_limit_lets_a_waiting_account_look_at_its_queue_at_once(agency: Tenant, api: APIClient) -> None:
    later = timezone.now() + timedelta(hours=1)
    account = factories.account(tenant=agency, next_due=later)
    api.patch(f"{ACCOUNTS}/{account.pk}", {"name": "Stella"})
    assert next_due(account) == later
    api.patch(f"{ACCOUNTS}/{account.pk}", {"limit": {"count": 100, "seconds": 60}})
    assert next_due(account) <= timezone.now()


def test_a_new_limit_does_not_end_the_platforms_own_block(agency: Tenant, api: APIClient) -> None:
    blocked, later = timezone.now() + timedelta(minutes=30), timezone.now() + timedelta(hours=1)
    account = factories.account(tenant=agency, next_due=later, blocked_until=blocked)
    api.patch(f"{ACCOUNTS}/{account.pk}", {"limit": {"count": 100, "seconds": 60}})
    assert next_due(account) == blocked


def test_quiet_hours_that_are_taken_away_block_no_longer(agency: Tenant, api: APIClient) -> None:
    now = timezone.now()
    ends = (now + timedelta(hours=5)).replace(minute=0, second=0, microsecond=0)
    hours = {"quiet_start": (now - timedelta(hours=1)).time(), "quiet_end": ends.time()}
    quiet, throttled = (
        factories.account(tenant=agency, next_due=until, blocked_until=until, **hours)
        for until in (ends, now + timedelta(minutes=30))
    )
    for account in (quiet, throttled):
        api.patch(f"{ACCOUNTS}/{account.pk}", {"quiet_hours": None})
    assert next_due(quiet) <= timezone.now()
    assert next_due(throttled) == throttled.next_due


def next_due(account: Account) -> datetime:
    with system_transaction():
        due = Account.objects.get(pk=account.pk).next_due
    assert due is not None
    return due
