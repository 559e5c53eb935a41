"""An account's fans through the API."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.messaging.models import Account, Fan
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json, client_of
from tests.costs.threads import at_once

SAM: dict[str, Any] = {
    "external_id": "sam",
    "name": "Sam 🌞",
    "attributes": {"city": "Lyon", "pets": ["cat"], "vip": True, "score": 1.5},
    "spend": "120.5",
    "last_purchase_at": "2026-01-31T18:00:00Z",
    "time_zone": "Europe/Paris",
    "consent": False,
}


def fans_of(account: Account) -> str:
    return f"/api/v2/accounts/{account.pk}/fans"


def test_a_fan_keeps_what_is_given(account: Account, api: APIClient) -> None:
    response = api.post(fans_of(account), SAM)
    body = as_json(response)
    assert response.status_code == 201
    assert {name: body[name] for name in SAM} == SAM | {"spend": {"amount": "120.50", "currency": "USD"}}
    assert as_json(api.get(fans_of(account)))["results"] == [body]


def test_all_but_the_external_id_has_defaults(account: Account, api: APIClient) -> None:
    body = as_json(api.post(fans_of(account), {"external_id": "sam"}))
    assert (body["name"], body["attributes"], body["last_purchase_at"]) == ("", {}, None)
    assert (body["spend"]["amount"], body["consent"], body["time_zone"]) == ("0.00", True, "")


def test_a_fan_is_added_to_an_account_once_but_to_another_as_well(
    account: Account, agency: Tenant, api: APIClient
) -> None:
    api.post(fans_of(account), SAM)
    response = api.post(fans_of(account), SAM)
    assert response.status_code == 409
    assert as_json(response)["error"]["code"] == "fan_exists"
    assert api.post(fans_of(factories.account(tenant=agency)), SAM).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_of_two_that_add_the_same_fan_at_once_one_is_told_so(account: Account, api: APIClient) -> None:
    statuses = at_once(2, lambda _: api.post(fans_of(account), SAM).status_code)
    assert sorted(statuses) == [201, 409]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"external_id": None}, "external_id"),
        ({"external_id": "  "}, "external_id"),
        ({"name": "x" * 201}, "name"),
        ({"attributes": ["a"]}, "attributes"),
        ({"attributes": {str(number): 1 for number in range(101)}}, "attributes"),
        ({"attributes": {"x" * 101: 1}}, "attributes"),
        ({"spend": "-0.01"}, "spend"),
        ({"spend": "1e30"}, "spend"),
        ({"spend": "NaN"}, "spend"),
        ({"spend": {"amount": "1", "currency": "USD"}}, "spend"),
        ({"last_purchase_at": "yesterday"}, "last_purchase_at"),
        ({"last_purchase_at": "0001-01-01T00:00:00+14:00"}, "last_purchase_at"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": None}, "time_zone"),
        ({"consent": "perhaps"}, "consent"),
        ({"consent": None}, "consent"),
        ({"id": "01890000-0000-7000-8000-000000000000"}, "id"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(
    change: dict[str, Any], field: str, account: Account, api: APIClient
) -> None:
    response = api.post(fans_of(account), SAM | change)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]


def test_creators_add_fans_and_analysts_do_not(account: Account, agency: Tenant) -> None:
    assert client_of(agency, Role.CREATOR).post(fans_of(account), SAM).status_code == 201
    assert client_of(agency, Role.ANALYST).post(fans_of(account), SAM).status_code == 403
    assert client_of(agency, Role.ANALYST).get(fans_of(account)).status_code == 200


def test_a_strangers_account_has_no_fans_to_see_or_add(account: Account, stranger_api: APIClient) -> None:
    factories.fan(account=account)
    assert stranger_api.get(fans_of(account)).status_code == 404
    assert stranger_api.post(fans_of(account), SAM).status_code == 404
    with system_transaction():
        assert Fan.objects.count() == 1


def test_the_list_holds_the_accounts_own_fans_and_is_filtered(
    account: Account, agency: Tenant, api: APIClient
) -> None:
    factories.fan(account=factories.account(tenant=agency), external_id="elsewhere")
    factories.fan(account=account, external_id="asked")
    factories.fan(account=account, external_id="refused", consent=False)

    def found(query: str) -> list[str]:
        return [row["external_id"] for row in as_json(api.get(f"{fans_of(account)}?{query}"))["results"]]

    assert found("") == ["refused", "asked"]
    assert found("consent=true") == ["asked"]
    assert found("consent=False") == ["refused"]
    assert found("consent=") == ["refused", "asked"]
    assert found("external_id=refused") == ["refused"]
    assert found("created_before=2000-01-01T00:00:00Z") == []
    refused = api.get(f"{fans_of(account)}?consent=perhaps")
    assert refused.status_code == 400
    assert as_json(refused)["error"]["fields"] == {"consent": "Give true or false."}


@pytest.mark.parametrize("number", [1, 12])
def test_listing_fans_costs_the_same_queries_for_any_number(
    number: int, account: Account, api: APIClient, django_assert_num_queries: Any
) -> None:
    factories.fans(number, account=account)
    api.get(fans_of(account))  # notes the key's use, once a minute
    # Two doors of four statements each; the account, the fans. Finding the key goes past Django's counting.
    with django_assert_num_queries(10):
        assert len(as_json(api.get(fans_of(account)))["results"]) == number
