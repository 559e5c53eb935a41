"""Pausing and resuming accounts through the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.messaging.models import Account
from apps.tenants.models import Role, Tenant
from tests import factories
from tests.conftest import Sandbox, as_json, client_of
from tests.messaging import dispatching as d


def post(api: APIClient, account: Account, verb: str, body: Any = None) -> Any:
    return api.post(f"/api/v2/accounts/{account.pk}/{verb}", body)


@pytest.mark.django_db(transaction=True)
def test_a_paused_account_says_what_is_on_its_way_and_sends_no_more(
    gateway: Sandbox, account: Account, api: APIClient
) -> None:
    d.enqueue(account, 12)
    granted = d.grant()
    answer = post(api, account, "pause", {"reason": "Urlaub 🏖"})
    body = as_json(answer)
    assert (answer.status_code, body["in_flight"]) == (200, 10)
    assert (body["paused"], body["pause_reason"]) == (True, "Urlaub 🏖")
    d.send_now(granted)
    assert gateway.audit()["accepted"] == 0
    assert d.grant(timezone.now() + timedelta(minutes=5)) == []
    body = as_json(post(api, account, "resume"))
    assert (body["paused"], body["pause_reason"]) == (False, "")
    assert "in_flight" not in body
    assert len(d.dispatch(timezone.now() + timedelta(minutes=5))) == 10


def test_pausing_and_resuming_twice_changes_nothing(account: Account, api: APIClient) -> None:
    post(api, account, "pause", {"reason": "first"})
    paused_at = d.fresh(account).paused_at
    again = as_json(post(api, account, "pause", {"reason": "second"}))
    assert (again["pause_reason"], again["in_flight"]) == ("first", 0)
    assert d.fresh(account).paused_at == paused_at
    for _ in range(2):
        assert post(api, account, "resume").status_code == 200
    assert d.fresh(account).paused_at is None


def test_no_reason_has_to_be_given(account: Account, api: APIClient) -> None:
    assert as_json(post(api, account, "pause"))["pause_reason"] == ""


@pytest.mark.parametrize("body", [{"reason": "x" * 201}, {"reason": None}, {"why": "x"}])
def test_a_reason_that_cannot_be_is_refused(body: Any, account: Account, api: APIClient) -> None:
    answer = post(api, account, "pause", body)
    assert answer.status_code == 400
    assert list(as_json(answer)["error"]["fields"]) == list(body)
    assert d.fresh(account).paused_at is None


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_managers_do_it_others_and_strangers_do_not(
    verb: str, account: Account, agency: Tenant, stranger_api: APIClient, api: APIClient
) -> None:
    assert post(stranger_api, account, verb).status_code == 404
    assert api.post(f"/api/v2/accounts/{uuid7()}/{verb}").status_code == 404
    for role, status in ((Role.ANALYST, 403), (Role.CREATOR, 403), (Role.MANAGER, 200), (Role.OWNER, 200)):
        assert post(client_of(agency, role), account, verb).status_code == status


def test_a_pause_takes_as_many_statements_however_long_the_queue_is(agency: Tenant, api: APIClient) -> None:
    counts = []
    for number in (1, 40):
        account = factories.account(tenant=agency)
        d.enqueue(account, number)
        post(api, account, "resume")  # notes the key's use, once a minute
        with CaptureQueriesContext(connection) as captured:
            post(api, account, "pause")
            post(api, account, "resume")
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_an_account_says_whose_limit_is_in_force(agency: Tenant, api: APIClient) -> None:
    url = f"/api/v2/accounts/{factories.account(tenant=agency).pk}"
    assert as_json(api.get(url))["limit_is_own"]
    body = as_json(api.patch(url, {"limit": None}))
    assert (body["limit"], body["limit_is_own"]) == ({"count": 10, "seconds": 60}, False)


def test_the_fields_of_pace_are_kept_and_taken_back(agency: Tenant, api: APIClient) -> None:
    url = f"/api/v2/accounts/{factories.account(tenant=agency).pk}"
    given = {
        "min_gap_ms": 250,
        "fan_limits": {"min_gap_seconds": 3600, "cap": {"count": 3, "seconds": 86_400}},
        "quiet_zone": "fan",
    }
    before = as_json(api.get(url))
    assert before["fan_limits"] == {"min_gap_seconds": None, "cap": None}
    assert as_json(api.patch(url, given)) == before | given
    assert as_json(api.patch(url, {"fan_limits": {"cap": None}}))["fan_limits"] == {
        "min_gap_seconds": 3600,
        "cap": None,
    }
    assert as_json(api.patch(url, {"fan_limits": {"min_gap_seconds": None}, "min_gap_ms": 0}))[
        "fan_limits"
    ] == {
        "min_gap_seconds": None,
        "cap": None,
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"min_gap_ms": -1}, "min_gap_ms"),
        ({"min_gap_ms": 3_600_001}, "min_gap_ms"),
        ({"fan_limits": None}, "fan_limits"),
        ({"fan_limits": {"min_gap_seconds": 0}}, "fan_limits.min_gap_seconds"),
        ({"fan_limits": {"cap": {"count": 1}}}, "fan_limits.cap.seconds"),
        ({"fan_limits": {"cap": {"count": 0, "seconds": 1}}}, "fan_limits.cap.count"),
        ({"fan_limits": {"gap": 1}}, "fan_limits.gap"),
        ({"quiet_zone": "moon"}, "quiet_zone"),
        ({"quiet_zone": None}, "quiet_zone"),
    ],
)
def test_a_pace_that_cannot_be_right_is_refused_by_name(
    change: dict[str, Any], field: str, account: Account, api: APIClient
) -> None:
    answer = api.patch(f"/api/v2/accounts/{account.pk}", change)
    assert answer.status_code == 400
    assert list(as_json(answer)["error"]["fields"]) == [field]
