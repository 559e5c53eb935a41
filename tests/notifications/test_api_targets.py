"""Targets through the API."""

import socket
from typing import Any

import pytest
from cryptography.fernet import Fernet, MultiFernet
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.common.models import IdempotencyRecord
from apps.notifications.channels.webhook import read_signing_key
from apps.notifications.models import Channel, DeliveryState, NotificationTarget
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tests import factories
from tests.conftest import as_json, client_of
from tests.notifications.alerting import alert, delivery, send, target
from tests.notifications.receivers import Receiver

pytestmark = pytest.mark.django_db

PATH, ALERTS = "/api/v2/costs/targets", "/api/v2/costs/alerts"
KEY = "whsec_" + "A" * 32
EMAIL = {"channel": "email", "name": "Office", "address": "ada@agency.example"}
SLACK = {"channel": "slack", "name": "#alerts", "url": "https://hooks.example/T0/B0/secret"}
WEBHOOK = {"channel": "webhook", "name": "On call", "url": "https://receiver.example/secret"}


@pytest.fixture
def owner_api(agency: Tenant) -> APIClient:
    return client_of(agency, Role.OWNER)


@pytest.fixture(autouse=True)
def hinted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, kwargs, **_: sent.append(kwargs["channel"]))
    return sent


def fresh(target_id: Any) -> NotificationTarget:
    with system_transaction():
        return NotificationTarget.objects.get(pk=target_id)


@pytest.mark.parametrize("given", [EMAIL, SLACK, WEBHOOK])
def test_a_target_is_made_and_told_of_alerts(
    given: dict[str, str], agency: Tenant, owner_api: APIClient
) -> None:
    response = owner_api.post(PATH, {**given, "muted_rules": ["spend_spike"]})

    made = as_json(response)
    assert response.status_code == 201
    assert (made["channel"], made["name"]) == (given["channel"], given["name"])
    assert made["minimum_level"] == "warning"
    assert (made["muted_rules"], made["digest_minutes"], made["is_active"]) == (["spend_spike"], 0, True)
    alert(agency)
    alert(agency, rule="spend_spike")
    assert str(delivery(channel=given["channel"]).destination_id) == made["id"]


def test_nothing_that_leads_there_or_signs_is_ever_shown(owner_api: APIClient) -> None:
    for each in (SLACK, {**WEBHOOK, "signing_key": KEY}):
        made = owner_api.post(PATH, each)
        path = f"{PATH}/{as_json(made)['id']}"
        answers = [made, owner_api.get(PATH), owner_api.get(path), owner_api.patch(path, {"name": "Renamed"})]
        for answer in answers:
            assert answer.status_code in (200, 201)
            assert b"secret" not in answer.content
            assert KEY.encode() not in answer.content
        assert fresh(as_json(made)["id"]).url == each["url"]


def test_a_webhooks_key_that_is_made_is_shown_once_and_kept_nowhere_else(owner_api: APIClient) -> None:
    key = {"Idempotency-Key": "once"}
    first, second = (as_json(owner_api.post(PATH, WEBHOOK, headers=key)) for _ in range(2))

    read_signing_key(first["signing_key"])
    assert fresh(first["id"]).signing_key == first["signing_key"]
    assert second == {**first, "signing_key": None}
    with system_transaction():
        assert first["signing_key"] not in str(IdempotencyRecord.objects.get().response)
    assert "signing_key" not in as_json(owner_api.get(f"{PATH}/{first['id']}"))


def test_a_chosen_key_is_kept_and_another_one_can_be_made(owner_api: APIClient) -> None:
    made = as_json(owner_api.post(PATH, {**WEBHOOK, "signing_key": KEY}))
    assert made["signing_key"] is None
    assert fresh(made["id"]).signing_key == KEY

    changed = as_json(owner_api.patch(f"{PATH}/{made['id']}", {"signing_key": None}))

    assert fresh(made["id"]).signing_key == changed["signing_key"] != KEY


def test_what_is_given_is_changed_and_the_rest_stays(agency: Tenant, owner_api: APIClient) -> None:
    found = target(agency, Channel.WEBHOOK, WEBHOOK["url"])
    changes = {
        "name": "Night",
        "minimum_level": "critical",
        "muted_rules": ["daily_cost", "daily_cost"],
        "digest_minutes": 30,
        "is_active": False,
    }
    answer = as_json(owner_api.patch(f"{PATH}/{found.pk}", changes))
    now = fresh(found.pk)
    assert {name: answer[name] for name in changes} == {**changes, "muted_rules": ["daily_cost"]}
    assert (now.name, now.minimum_level, now.is_active) == ("Night", "critical", False)
    assert (now.url, now.signing_key) == (found.url, found.signing_key)
    owner_api.patch(f"{PATH}/{found.pk}", {"url": "https://elsewhere.example/"})
    assert fresh(found.pk).url == "https://elsewhere.example/"


@pytest.mark.parametrize(
    ("base", "given", "field", "said"),
    [
        (WEBHOOK, {"url": "nonsense"}, "url", "The URL can't be right"),
        (WEBHOOK, {"url": None}, "url", "null"),
        (WEBHOOK, {"url": "https://agency..example/"}, "url", "The URL can't be right"),
        (WEBHOOK, {"url": f"https://{'x' * 64}.example/"}, "url", "The URL can't be right"),
        (WEBHOOK, {"url": "https://1.1.1.1:0/"}, "url", "from 1 to 65535"),
        (WEBHOOK, {"url": "https://1.1.1.1:65536/"}, "url", "from 1 to 65535"),
        (SLACK, {"url": f"https://1.1.1.1:{10**30}/"}, "url", "from 1 to 65535"),
        (WEBHOOK, {"signing_key": "secret"}, "signing_key", "A signing key is whsec_"),
        (WEBHOOK, {"address": "ada@agency.example"}, "address", "webhook has none"),
        (WEBHOOK, {"muted_rules": ["daily_cost", "nonsense"]}, "muted_rules", "There is no rule “nonsense”"),
        (WEBHOOK, {"digest_minutes": 1441}, "digest_minutes", "1440"),
        (WEBHOOK, {"minimum_level": "loud"}, "minimum_level", "not a valid choice"),
        (WEBHOOK, {"name": ""}, "name", "blank"),
        (WEBHOOK, {"name": "On\ncall"}, "name", "one line"),
        (WEBHOOK, {"name": "On\u202ecall"}, "name", "one line"),
        (WEBHOOK, {"chanel": "slack"}, "chanel", "unknown"),
        (SLACK, {"signing_key": KEY}, "signing_key", "slack has none"),
        (EMAIL, {"address": "nobody"}, "address", "valid email"),
        (EMAIL, {"url": "https://x.example/"}, "url", "email has none"),
        (EMAIL, {"channel": "slack"}, "url", "needs one"),
        (EMAIL, {"channel": "pigeon"}, "channel", "not a valid choice"),
    ],
)
def test_a_target_that_cannot_be_right_is_refused_by_field(
    base: dict[str, str], given: dict[str, Any], field: str, said: str, owner_api: APIClient
) -> None:
    response = owner_api.post(PATH, {**base, **given})
    assert response.status_code == 400
    assert said in as_json(response)["error"]["fields"][field]
    with system_transaction():
        assert not NotificationTarget.objects.exists()


def test_changes_are_judged_like_what_is_made(agency: Tenant, owner_api: APIClient) -> None:
    found = target(agency, Channel.EMAIL, "ada@agency.example")
    path = f"{PATH}/{found.pk}"
    for change, field in (
        ({"channel": "slack"}, "channel"),
        ({"url": "https://x.example/"}, "url"),
        ({"signing_key": None}, "signing_key"),
        ({"address": "nobody"}, "address"),
        ({"name": "Off\x1bice"}, "name"),
        ({"muted_rules": ["nonsense"]}, "muted_rules"),
    ):
        response = owner_api.patch(path, change)
        assert (response.status_code, list(as_json(response)["error"]["fields"])) == (400, [field])
    assert fresh(found.pk).address == "ada@agency.example"


def test_a_second_target_of_a_name_is_refused(agency: Tenant, owner_api: APIClient) -> None:
    owner_api.post(PATH, SLACK)
    response = owner_api.post(PATH, SLACK)
    assert (response.status_code, list(as_json(response)["error"]["fields"])) == (409, ["name"])
    other = as_json(owner_api.post(PATH, {**SLACK, "name": "Other"}))
    response = owner_api.patch(f"{PATH}/{other['id']}", {"name": SLACK["name"]})
    assert (response.status_code, list(as_json(response)["error"]["fields"])) == (409, ["name"])
    assert owner_api.post(PATH, {**WEBHOOK, "name": SLACK["name"]}).status_code == 201


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "[::1]", "169.254.169.254"])
@pytest.mark.parametrize("given", [SLACK, WEBHOOK])
def test_a_url_that_leads_into_a_private_network_is_not_saved(
    given: dict[str, str], host: str, owner_api: APIClient, settings: Any
) -> None:
    url = f"http://{host}/alerts"
    made = as_json(owner_api.post(PATH, {**given, "url": url}))
    settings.PRIVATE_TARGETS = False
    for response in (
        owner_api.post(PATH, {**given, "name": "Inside", "url": url}),
        owner_api.patch(f"{PATH}/{made['id']}", {"url": url}),
    ):
        assert response.status_code == 400
        error = as_json(response)["error"]
        assert error["message"] == f"url: {error['fields']['url']}"
        assert error["fields"]["url"].endswith("is an address of a private network.")
    with system_transaction():
        assert NotificationTarget.objects.get().name == given["name"]


def test_what_was_made_is_answered_again_whatever_its_url_means_by_then(
    owner_api: APIClient, settings: Any
) -> None:
    key, given = {"Idempotency-Key": "once"}, {**SLACK, "url": "http://127.0.0.1/alerts"}
    first = owner_api.post(PATH, given, headers=key)
    settings.PRIVATE_TARGETS = False
    second = owner_api.post(PATH, given, headers=key)
    assert (second.status_code, as_json(second)) == (201, as_json(first))
    assert second.headers["Idempotency-Replayed"] == "true"
    assert owner_api.post(PATH, {**given, "name": "x"}, headers={"Idempotency-Key": "2"}).status_code == 400


def test_looking_at_a_target_locks_nothing(agency: Tenant, owner_api: APIClient) -> None:
    found = target(agency, Channel.SLACK, SLACK["url"])
    with CaptureQueriesContext(connection) as captured:
        assert owner_api.get(f"{PATH}/{found.pk}").status_code == 200
    assert not [each["sql"] for each in captured if "FOR " in each["sql"]]


def test_a_name_that_nobody_knows_yet_is_saved(
    owner_api: APIClient, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    settings.PRIVATE_TARGETS = False
    monkeypatch.setattr("apps.common.punctual.socket.getaddrinfo", look_up)
    assert owner_api.post(PATH, WEBHOOK).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_a_name_is_looked_up_while_no_connection_is_held(
    agency: Tenant, owner_api: APIClient, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        held.append((host, connection.in_atomic_block, connection.connection is not None))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    client.force_login(factories.user(is_staff=True, is_superuser=True))
    settings.PRIVATE_TARGETS = False
    monkeypatch.setattr("apps.common.punctual.socket.getaddrinfo", look_up)
    made = as_json(owner_api.post(PATH, WEBHOOK))
    owner_api.patch(f"{PATH}/{made['id']}", {"url": "https://changed.example/"})
    client.post(reverse("admin:notifications_notificationtarget_add"), {"url": "https://admin.example/"})
    assert held == [(host, False, False) for host in ("receiver.example", "changed.example", "admin.example")]


@pytest.mark.django_db(transaction=True)
def test_a_test_shows_what_became_of_it(
    agency: Tenant, owner_api: APIClient, slack: Receiver, hinted: list[str]
) -> None:
    found = target(agency, Channel.SLACK, slack.url)
    response = owner_api.post(f"{PATH}/{found.pk}/test")
    left = as_json(response)
    assert response.status_code == 202
    assert [each["state"] for each in left["deliveries"]] == ["pending"]
    assert left["rule"] == "test"
    send(Channel.SLACK)
    (sent,) = as_json(owner_api.get(f"{ALERTS}/{left['id']}"))["deliveries"]
    assert (sent["state"], sent["target"], len(slack.posts)) == ("sent", found.name, 1)


def test_a_target_that_is_off_is_not_tested(agency: Tenant, owner_api: APIClient) -> None:
    found = target(agency, Channel.SLACK, SLACK["url"], is_active=False)
    response = owner_api.post(f"{PATH}/{found.pk}/test")
    assert response.status_code == 409
    assert "switched off" in as_json(response)["error"]["message"]


@pytest.mark.django_db(transaction=True)
def test_what_is_deleted_is_told_nothing_more_and_what_it_was_told_stays_listed(
    agency: Tenant, owner_api: APIClient, slack: Receiver
) -> None:
    found = target(agency, Channel.SLACK, slack.url)
    alert(agency)
    assert owner_api.delete(f"{PATH}/{found.pk}").status_code == 204
    assert owner_api.get(f"{PATH}/{found.pk}").status_code == 404
    send(Channel.SLACK, now=timezone.now())
    assert (delivery().state, delivery().target, slack.posts) == (DeliveryState.FAILED, found.name, [])


def test_a_list_is_filtered_and_costs_no_more_statements_for_more(
    agency: Tenant, owner_api: APIClient, django_assert_num_queries: Any
) -> None:
    off = target(agency, Channel.SLACK, SLACK["url"], is_active=False)
    mail = target(agency, Channel.EMAIL, "ada@agency.example")

    def listed(**query: Any) -> list[str]:
        return [each["id"] for each in as_json(owner_api.get(PATH, query))["results"]]

    assert listed() == [str(mail.pk), str(off.pk)]
    assert listed(channel="email") == listed(is_active="true") == [str(mail.pk)]
    assert owner_api.get(PATH, {"chanel": "email"}).status_code == 400
    for number in (2, 12):
        for index in range(number - len(listed())):
            target(agency, Channel.WEBHOOK, WEBHOOK["url"], name=f"Hook {index}")
        # Two doors of four statements each, and the targets. Finding the key goes past Django's counting.
        with django_assert_num_queries(9):
            assert len(listed()) == number


@pytest.mark.parametrize("role", [Role.MANAGER, Role.CREATOR, Role.ANALYST])
def test_every_member_looks_and_owners_alone_change(role: Role, agency: Tenant) -> None:
    found = target(agency, Channel.EMAIL, "ada@agency.example")
    api, path = client_of(agency, role), f"{PATH}/{found.pk}"
    assert api.get(PATH).status_code == api.get(path).status_code == 200
    assert api.post(PATH, WEBHOOK).status_code == 403
    assert api.patch(path, {"is_active": False}).status_code == 403
    assert api.post(f"{path}/test").status_code == 403
    assert api.delete(path).status_code == 403
    assert fresh(found.pk).is_active


@pytest.mark.parametrize("whose", ["another tenant's", "the platform's", "nobody's"])
def test_what_is_not_the_tenants_is_not_there(whose: str, agency: Tenant, stranger: Tenant) -> None:
    owner = {"another tenant's": agency, "the platform's": None}.get(whose)
    found = target(owner, Channel.EMAIL, "ada@agency.example")
    target_id = uuid7() if whose == "nobody's" else found.pk
    api, path = client_of(stranger, Role.OWNER), f"{PATH}/{target_id}"
    assert as_json(api.get(PATH))["results"] == []
    assert api.get(path).status_code == api.delete(path).status_code == 404
    assert api.patch(path, {"is_active": False}).status_code == 404
    assert api.post(f"{path}/test").status_code == 404
    assert fresh(found.pk).is_active


def test_a_secret_that_cannot_be_read_is_a_refusal_in_words(
    agency: Tenant, owner_api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = target(agency, Channel.SLACK, SLACK["url"])
    monkeypatch.setattr("apps.common.fields._cipher", _another_key)
    assert owner_api.get(PATH).status_code == 200
    response = owner_api.patch(f"{PATH}/{found.pk}", {"name": "Renamed"})
    assert response.status_code == 409
    assert "HUNTAZE_ENCRYPTION_KEYS" in as_json(response)["error"]["message"]
    assert owner_api.patch(f"{PATH}/{found.pk}", {"url": SLACK["url"]}).status_code == 200


def _another_key() -> Any:
    return MultiFernet([Fernet(Fernet.generate_key())])
