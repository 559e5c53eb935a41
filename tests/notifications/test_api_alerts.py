"""Alerts through the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.notifications.models import Alert, Channel
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.conftest import as_json
from tests.notifications.alerting import alert, send, target
from tests.notifications.receivers import Receiver

pytestmark = pytest.mark.django_db

PATH = "/api/v2/costs/alerts"


def raised(tenant: Tenant, **fields: Any) -> Alert:
    found = alert(tenant, **fields)
    assert found is not None
    return found


def listed(api: APIClient, **query: Any) -> list[str]:
    return [each["id"] for each in as_json(api.get(PATH, query))["results"]]


def test_alerts_are_listed_with_what_became_of_them(agency: Tenant, api: APIClient) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    first = raised(agency, data={"spent": "51.00"})

    (found,) = as_json(api.get(PATH))["results"]

    assert found["id"] == str(first.pk)
    assert (found["rule"], found["level"], found["data"]) == ("daily_cost", "warning", {"spent": "51.00"})
    assert (found["acknowledged_at"], found["muted_until"]) == (None, None)
    (delivery,) = found["deliveries"]
    assert (delivery["channel"], delivery["target"]) == ("email", "ada@agency.example")
    assert (delivery["state"], delivery["sent_at"]) == ("pending", None)


def test_alerts_can_be_filtered(agency: Tenant, api: APIClient) -> None:
    dear = raised(agency)
    full = raised(agency, rule="budget_threshold", level="critical", subject="b")
    api.post(f"{PATH}/{dear.pk}/acknowledge")
    assert listed(api) == [str(full.pk), str(dear.pk)]
    assert listed(api, rule="daily_cost") == [str(dear.pk)]
    assert listed(api, level=["critical", "info"]) == [str(full.pk)]
    assert listed(api, acknowledged="true") == [str(dear.pk)]
    assert listed(api, acknowledged="false") == [str(full.pk)]
    assert listed(api, subject="b") == [str(full.pk)]
    assert listed(api, created_after=(timezone.now() + timedelta(hours=1)).isoformat()) == []
    for wrong in ({"level": "loud"}, {"acknowledged": "perhaps"}, {"rules": "x"}):
        assert api.get(PATH, wrong).status_code == 400


def test_a_long_list_goes_by_cursor_in_statements_that_do_not_grow(agency: Tenant, api: APIClient) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    made = [str(raised(agency, subject=str(number)).pk) for number in range(5)][::-1]
    page = as_json(api.get(PATH, {"limit": 2}))
    assert [each["id"] for each in page["results"]] == made[:2]
    assert [each["id"] for each in as_json(api.get(page["next"]))["results"]] == made[2:4]
    counts = []
    for limit in (1, 5):
        with CaptureQueriesContext(connection) as captured:
            api.get(PATH, {"limit": limit})
        counts.append(len(captured))
    assert counts[0] == counts[1]


@pytest.mark.django_db(transaction=True)
def test_one_alert_shows_what_became_of_each_delivery(
    agency: Tenant, api: APIClient, analyst_api: APIClient, slack: Receiver
) -> None:
    slack.answers = [(403, {}, b"invalid_token")]
    target(agency, Channel.EMAIL, "ada@agency.example", minimum_level="critical")
    target(agency, Channel.SLACK, slack.url)
    found = raised(agency)
    raised(agency, subject="another")
    path = f"{PATH}/{found.pk}"
    api.post(f"{path}/acknowledge")
    send(Channel.SLACK)

    answer = as_json(analyst_api.get(path))

    assert answer["id"] == str(found.pk)
    assert answer["acknowledged_at"]
    (delivery,) = answer["deliveries"]
    assert (delivery["channel"], delivery["state"], delivery["attempts"]) == ("slack", "failed", 1)
    assert "invalid_token" in delivery["error"]
    assert set(delivery) >= {"created_at", "due_at", "sent_at", "target"}
    assert answer in as_json(api.get(PATH))["results"]


def test_acknowledging_says_who_and_when_and_twice_changes_nothing(
    agency: Tenant, api: APIClient, analyst_api: APIClient
) -> None:
    found = raised(agency)
    path = f"{PATH}/{found.pk}/acknowledge"
    assert analyst_api.post(path).status_code == 403
    first = as_json(api.post(path))
    assert first["acknowledged_at"]
    assert first["acknowledged_by"]
    again = api.post(path)
    assert (again.status_code, as_json(again)) == (200, first)


def test_muting_takes_an_end_or_hours(agency: Tenant, api: APIClient) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    path = f"{PATH}/{raised(agency).pk}/mute"
    until = timezone.now().replace(microsecond=0) + timedelta(days=3)
    body = as_json(api.post(path, {"until": until.isoformat()}))
    assert parse_datetime(body["muted_until"]) == until
    assert body["deliveries"][0]["state"] == "muted"
    body = as_json(api.post(path, {"hours": 2}))
    end = parse_datetime(body["muted_until"])
    assert end is not None
    assert timedelta(hours=1, minutes=59) < end - timezone.now() <= timedelta(hours=2)
    raised(agency, period="2026-03-02")
    assert as_json(api.get(PATH))["results"][0]["deliveries"][0]["state"] == "muted"


def test_every_alert_says_until_when_its_rule_and_subject_are_muted(agency: Tenant, api: APIClient) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    first = raised(agency)
    muted = as_json(api.post(f"{PATH}/{first.pk}/mute", {"hours": 2}))
    later = raised(agency, period="2026-03-02")
    other = raised(agency, subject="other")

    def said() -> dict[str, Any]:
        return {each["id"]: each["muted_until"] for each in as_json(api.get(PATH))["results"]}

    until = muted["muted_until"]
    assert until
    assert said() == {str(first.pk): until, str(later.pk): until, str(other.pk): None}
    for path in (f"{PATH}/{later.pk}", f"{PATH}/{first.pk}"):
        found = as_json(api.get(path))
        assert found["muted_until"] == until
        assert found["deliveries"][0]["error"] == "Its rule and subject were muted."
    assert as_json(api.post(f"{PATH}/{later.pk}/acknowledge"))["muted_until"] == until
    assert as_json(api.post(f"{PATH}/{later.pk}/unmute"))["muted_until"] is None
    assert set(said().values()) == {None}


def test_a_mute_that_is_over_is_no_longer_said(agency: Tenant, api: APIClient) -> None:
    found = raised(agency)
    with system_transaction():
        Alert.objects.update(muted_until=timezone.now() - timedelta(seconds=1))
    assert as_json(api.get(f"{PATH}/{found.pk}"))["muted_until"] is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"hours": 0}, 400),
        ({"hours": 1_000_000}, 400),
        ({"hours": 365 * 24 + 1}, 400),
        ({"hours": 1, "until": "2126-01-01T00:00:00Z"}, 400),
        ({"until": None}, 400),
        ({"for": "ever"}, 400),
        ({"until": "2001-01-01T00:00:00Z"}, 400),
        ({"until": "9999-12-31T00:00:00Z"}, 400),
    ],
)
def test_a_mute_that_cannot_be_right_is_refused(
    body: dict[str, Any], status: int, agency: Tenant, api: APIClient
) -> None:
    answer = api.post(f"{PATH}/{raised(agency).pk}/mute", body)
    assert answer.status_code == status
    assert as_json(answer)["error"]["fields"]


def test_a_year_is_the_longest_mute(agency: Tenant, api: APIClient) -> None:
    path = f"{PATH}/{raised(agency).pk}/mute"
    assert api.post(path, {"hours": 365 * 24}).status_code == 200
    answer = api.post(path, {"until": (timezone.now() + timedelta(days=365, minutes=1)).isoformat()})
    assert answer.status_code == 400
    error = as_json(answer)["error"]
    assert error["message"] == "until: A mute has to end in the future, within 365 days."
    assert list(error["fields"]) == ["until"]


def test_unmuting_lets_what_is_raised_from_then_on_be_sent(
    agency: Tenant, api: APIClient, analyst_api: APIClient
) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    first, second = raised(agency), raised(agency, period="2026-03-02")
    api.post(f"{PATH}/{first.pk}/mute", {"hours": 2})
    path = f"{PATH}/{second.pk}/unmute"
    assert analyst_api.post(path).status_code == 403
    answer = api.post(path)
    assert (answer.status_code, as_json(answer)["id"]) == (200, str(second.pk))
    assert [each["muted_until"] for each in as_json(api.get(PATH))["results"]] == [None, None]
    raised(agency, period="2026-03-03")
    states = [each["deliveries"][0]["state"] for each in as_json(api.get(PATH))["results"]]
    assert states == ["pending", "muted", "muted"]
    assert api.post(path).status_code == 200


def test_a_stranger_sees_and_does_nothing(agency: Tenant, stranger_api: APIClient) -> None:
    found = raised(agency)
    assert listed(stranger_api) == []
    assert stranger_api.get(f"{PATH}/{found.pk}").status_code == 404
    assert stranger_api.post(f"{PATH}/{found.pk}/acknowledge").status_code == 404
    assert stranger_api.post(f"{PATH}/{found.pk}/mute", {"hours": 1}).status_code == 404
    assert stranger_api.post(f"{PATH}/{found.pk}/unmute").status_code == 404
    with system_transaction():
        found.refresh_from_db()
    assert (found.acknowledged_at, found.muted_until) == (None, None)


def test_the_platforms_alerts_are_nobodys_here(api: APIClient) -> None:
    with system_transaction():
        found = Alert.objects.create(tenant_id=None, rule="dead_letter", message="x")
    assert listed(api) == []
    assert api.get(f"{PATH}/{found.pk}").status_code == 404
    assert api.get(f"{PATH}/{uuid7()}").status_code == 404
    assert api.post(f"{PATH}/{found.pk}/acknowledge").status_code == 404
    assert api.post(f"{PATH}/{uuid7()}/acknowledge").status_code == 404


def test_nobody_without_a_key_gets_in() -> None:
    assert APIClient().get(PATH).status_code == 401
