"""Messages through the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Message, Outbox
from apps.tenants.authentication import Principal
from apps.tenants.models import ApiKey, Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json, client_of

SEND = "/api/v2/onlyfans/messages"
MESSAGES = "/api/v2/messages"


@pytest.fixture
def fan(account: Account) -> Fan:
    return factories.fan(account=account)


def note(fan: Fan, **fields: Any) -> dict[str, Any]:
    return {"account": str(fan.account_id), "fan": str(fan.pk), "text": "Hello", **fields}


def test_a_message_is_queued_with_all_its_defaults(fan: Fan, api: APIClient) -> None:
    response = api.post(SEND, note(fan))
    body = as_json(response)
    assert response.status_code == 201
    assert (body["state"], body["text"], body["attempts"]) == ("queued", "Hello", 0)
    assert (body["price"], body["media"], body["priority"], body["campaign"]) == (None, [], "medium", None)
    assert as_json(api.get(f"{MESSAGES}/{body['id']}")) == body


def test_everything_that_is_given_is_kept(fan: Fan, api: APIClient) -> None:
    given = note(
        fan,
        text="Grüße ✨ “quoted” \u202eright to left",
        price="12.00",
        media=["media-1"],
        not_before="2100-01-01T00:00:00Z",
        priority="high",
    )
    body = as_json(api.post(SEND, given))
    assert {name: body[name] for name in given} == given


def test_the_account_looks_at_its_queue_when_the_message_is_due(fan: Fan, api: APIClient) -> None:
    api.post(SEND, note(fan))
    with system_transaction():
        due = Account.objects.get().next_due
    assert due is not None
    assert due <= timezone.now()


def test_what_a_signed_in_person_sends_bears_their_id(fan: Fan, agency: Tenant, api: APIClient) -> None:
    person = factories.user(tenant=agency)
    browser = APIClient()
    browser.force_authenticate(Principal(agency, Role.MANAGER, ApiKey(), user_id=person.pk))  # type: ignore[arg-type]  # what DRF calls a user
    brief = {"name": "Summer", "type": "mass_message", "brief": "At the lake.", "accounts": [fan.account_id]}
    for client, user_id in ((browser, person.pk), (api, None)):
        message = as_json(client.post(SEND, note(fan)))["id"]
        campaign = as_json(client.post("/api/v2/campaigns/hybrid", brief))["id"]
        with system_transaction():
            assert Message.objects.get(pk=message).user_id == user_id
            assert Outbox.objects.get(campaign_id=campaign).user_id == user_id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": ""}, "text"),
        ({"text": " \n "}, "text"),
        ({"text": "x" * 10_001}, "text"),
        ({"text": None}, "text"),
        ({"text": ["Hello"]}, "text"),
        ({"price": "0"}, "price"),
        ({"price": "0.001"}, "price"),
        ({"price": "1e400"}, "price"),
        ({"price": "-5"}, "price"),
        ({"price": "Infinity"}, "price"),
        ({"price": "100000000"}, "price"),
        ({"media": "media-1"}, "media"),
        ({"media": [{}]}, "media.0"),
        ({"media": ["m"] * 51}, "media"),
        ({"not_before": "soon"}, "not_before"),
        ({"priority": "urgent"}, "priority"),
        ({"priority": 1}, "priority"),
        ({"priority": ["high"]}, "priority"),
        ({"account": "not an id"}, "account"),
        ({"account": -1}, "account"),
        ({"account": 2**200}, "account"),
        ({"fan": None}, "fan"),
        ({"state": "sent"}, "state"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(
    change: dict[str, Any], field: str, fan: Fan, api: APIClient
) -> None:
    response = api.post(SEND, note(fan) | change)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]
    assert as_json(api.get(MESSAGES))["results"] == []


def test_the_longest_text_is_accepted(fan: Fan, api: APIClient) -> None:
    assert as_json(api.post(SEND, note(fan, text="é" * 10_000)))["text"] == "é" * 10_000


def test_an_account_or_fan_that_is_not_there_is_named(fan: Fan, agency: Tenant, api: APIClient) -> None:
    another = factories.account(tenant=agency)
    for change, field in (
        ({"account": str(uuid7())}, "account"),
        ({"fan": str(uuid7())}, "fan"),
        ({"account": str(another.pk)}, "fan"),
    ):
        response = api.post(SEND, note(fan) | change)
        assert response.status_code == 404
        assert list(as_json(response)["error"]["fields"]) == [field]


def test_an_account_on_another_platform_sends_no_onlyfans_message(agency: Tenant, api: APIClient) -> None:
    fan = factories.fan(account=factories.account(tenant=agency, platform="tiktok"))
    response = api.post(SEND, note(fan))
    assert response.status_code == 422
    assert as_json(response)["error"]["code"] == "other_platform"


def test_creators_send_and_analysts_do_not(fan: Fan, agency: Tenant) -> None:
    assert client_of(agency, Role.CREATOR).post(SEND, note(fan)).status_code == 201
    assert client_of(agency, Role.ANALYST).post(SEND, note(fan)).status_code == 403
    assert len(as_json(client_of(agency, Role.ANALYST).get(MESSAGES))["results"]) == 1


def test_a_stranger_sees_no_message_and_writes_to_no_fan(fan: Fan, stranger_api: APIClient) -> None:
    message = factories.message(fan=fan)
    assert as_json(stranger_api.get(MESSAGES))["results"] == []
    assert stranger_api.get(f"{MESSAGES}/{message.pk}").status_code == 404
    assert stranger_api.post(SEND, note(fan)).status_code == 404
    assert as_json(stranger_api.get(f"{MESSAGES}?fan={fan.pk}"))["results"] == []
    with system_transaction():
        assert Message.objects.count() == 1


def test_the_list_is_filtered(account: Account, agency: Tenant, api: APIClient) -> None:
    box = factories.outbox(tenant=agency)
    now = timezone.now()
    fans = factories.fans(3, account=account)
    single = factories.message(fan=fans[0])
    campaigns = factories.message(fan=fans[1], outbox=box)
    sent = factories.message(fan=fans[2], state="sent", sent_at=now, finished_at=now, priority=Priority.LOW)
    elsewhere = factories.message(fan=factories.fan(account=factories.account(tenant=agency)))

    def found(query: str) -> list[Any]:
        return [row["id"] for row in as_json(api.get(MESSAGES, QUERY_STRING=query))["results"]]

    everything = [str(row.pk) for row in (elsewhere, sent, campaigns, single)]
    assert found("") == everything
    assert found("state=sent") == [str(sent.pk)]
    assert found("state=sent&state=queued") == everything
    assert found(f"account={elsewhere.account_id}") == [str(elsewhere.pk)]
    assert found(f"fan={single.fan_id}") == [str(single.pk)]
    assert found(f"campaign={box.campaign_id}") == [str(campaigns.pk)]
    hour_ago, in_an_hour = now - timedelta(hours=1), now + timedelta(hours=1)
    assert found(f"created_after={hour_ago:%Y-%m-%dT%H:%M:%SZ}") == everything
    assert found(f"created_after={in_an_hour:%Y-%m-%dT%H:%M:%SZ}") == []
    assert found(f"created_before={hour_ago:%Y-%m-%dT%H:%M:%SZ}") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("account=1", "account"),
        ("fan=%00", "fan"),
        ("created_after=yesterday", "created_after"),
        ("created_after=99999-01-01T00:00:00Z", "created_after"),
        ("stat=sent", "stat"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=9999999999999999999999", "limit"),
        ("limit=%D9%A1", "limit"),
        ("cursor=nonsense", "cursor"),
        ("cursor=cD1ub25zZW5zZQ%3D%3D", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=%C3%A9", "cursor"),
    ],
)
def test_a_parameter_that_cannot_be_right_is_refused_by_name(query: str, field: str, api: APIClient) -> None:
    response = api.get(MESSAGES, QUERY_STRING=query)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]


def test_pages_hold_every_message_once_also_while_new_ones_come(account: Account, api: APIClient) -> None:
    fans = factories.fans(8, account=account)
    rows = [factories.message(fan=fan) for fan in fans[:7]]
    found, url = [], f"{MESSAGES}?limit=3"
    while url:
        page = as_json(api.get(url))
        found += [row["id"] for row in page["results"]]
        if len(found) == 3:
            factories.message(fan=fans[7])
        url = page["next"]
    assert found == [str(row.pk) for row in reversed(rows)]


@pytest.mark.parametrize("number", [1, 12])
def test_listing_messages_costs_the_same_queries_for_any_number(
    number: int, account: Account, agency: Tenant, api: APIClient, django_assert_num_queries: Any
) -> None:
    for fan in factories.fans(number, account=account):
        factories.message(fan=fan, outbox=factories.outbox(tenant=agency))
    api.get(MESSAGES)  # notes the key's use, once a minute
    # Two doors of four statements each, and the messages. Finding the key goes past Django's counting.
    with django_assert_num_queries(9):
        assert len(as_json(api.get(MESSAGES))["results"]) == number
