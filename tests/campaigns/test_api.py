"""Campaigns over HTTP: what is accepted, what is refused, and who may do what."""

from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from apps.campaigns.models import Campaign, CampaignStatus, StepName, WorkflowStep
from apps.content.models import Content, ContentState
from apps.messaging.models import Account, Outbox
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def body(account: Account) -> dict[str, Any]:
    factories.fans(12, account=account)
    return {
        "name": "Summer",
        "type": "mass_message",
        "brief": "Photographs from the lake.",
        "accounts": [str(account.pk)],
    }


def test_an_end_that_no_calendar_has_is_the_last_one_that_it_has(
    api: APIClient, body: dict[str, Any]
) -> None:
    response = api.post("/api/v2/campaigns/hybrid", {**body, "not_before": "9999-12-31T23:59:30Z"})
    assert response.status_code == 202
    assert response.json()["preflight"]["ends_at"] == "9999-12-31T23:59:59.999999Z"


@pytest.fixture
def waiting(agency: Tenant, account: Account) -> Campaign:
    """A campaign that awaits approval, its text written."""
    factories.fan(account=account, name="Grace")
    campaign = factories.campaign(
        tenant=agency, accounts=[account], status=CampaignStatus.AWAITING_APPROVAL, plan={"summary": "Lake"}
    )
    with system_transaction():
        WorkflowStep.objects.create(
            tenant_id=agency.pk, campaign=campaign, name=StepName.APPROVE, position=2, status="running"
        )
        Content.objects.create(
            tenant_id=agency.pk,
            kind="message",
            account=account,
            campaign_id=campaign.pk,
            state=ContentState.READY,
            text="Hello {{ fan.name }}, from {{ account.name }}.",
        )
    return campaign


def url(campaign: Campaign, action: str) -> str:
    return f"/api/v2/campaigns/{campaign.pk}/{action}"


def test_a_new_campaign_is_accepted_with_its_preflight(api: APIClient, body: dict[str, Any]) -> None:
    response = api.post("/api/v2/campaigns/hybrid", body)
    assert response.status_code == 202
    answer = response.json()
    assert answer["status"] == "planning"
    assert answer["preflight"]["recipients"] == 12
    assert answer["preflight"]["excluded"] == {"no_consent": 0, "segment": 0}
    status = api.get(answer["status_url"]).json()
    assert status["progress"] == 0
    assert [step["name"] for step in status["steps"]] == list(StepName)
    assert status["cost"] == {"amount": "0.00", "currency": "USD"}


def test_the_preflight_counts_one_window_for_each_ten_messages(api: APIClient, body: dict[str, Any]) -> None:
    before = timezone.now()
    ends = api.post("/api/v2/campaigns/hybrid", body).json()["preflight"]["ends_at"]
    waited = (timezone.datetime.fromisoformat(ends) - before).total_seconds()  # type: ignore[attr-defined]
    assert 60 <= waited < 65


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"type": "spam"}, "type"),
        ({"brief": None}, "brief"),
        ({"accounts": []}, "accounts"),
        ({"accounts": ["not an id"]}, "accounts.0"),
        ({"accounts": ["01890000-0000-7000-8000-000000000000"]}, "accounts"),
        ({"type": "ppv"}, "price"),
        ({"price": "0"}, "price"),
        ({"price": "12.345"}, "price"),
        ({"priority": "urgent"}, "priority"),
        ({"not_before": "soon"}, "not_before"),
        ({"segment": {"include": {"age": 3}}}, "segment.include"),
        ({"segment": {"include": {"spend": {"gte": "1000"}}}}, "segment"),
        ({"aproval": "automatic"}, "aproval"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(
    api: APIClient, body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    response = api.post("/api/v2/campaigns/hybrid", body | change)
    assert response.status_code in (400, 422)
    assert list(response.json()["error"]["fields"]) == [field]
    with system_transaction():
        assert not Campaign.objects.exists()
        assert not Outbox.objects.exists()


def test_a_campaign_may_be_launched_for_one_of_the_tenants_users(
    api: APIClient, body: dict[str, Any], agency: Tenant
) -> None:
    ada = factories.user(tenant=agency)
    made = api.post("/api/v2/campaigns/hybrid", {**body, "user": str(ada.pk)}).json()
    assert api.get(made["status_url"]).json()["user"] == str(ada.pk)
    with system_transaction():
        assert Outbox.objects.get().user_id == ada.pk


@pytest.mark.parametrize("given", [{}, {"user": None}])
def test_a_campaign_that_a_key_launches_for_nobody_is_nobodys(
    api: APIClient, body: dict[str, Any], given: dict[str, None]
) -> None:
    made = api.post("/api/v2/campaigns/hybrid", {**body, **given}).json()
    assert api.get(made["status_url"]).json()["user"] is None


def test_a_campaign_for_a_strangers_user_is_refused(
    api: APIClient, body: dict[str, Any], stranger: Tenant
) -> None:
    eve = factories.user(tenant=stranger)
    response = api.post("/api/v2/campaigns/hybrid", {**body, "user": str(eve.pk)})
    assert (response.status_code, list(response.json()["error"]["fields"])) == (404, ["user"])
    with system_transaction():
        assert not Campaign.objects.exists()


def test_the_same_key_makes_one_campaign(api: APIClient, body: dict[str, Any]) -> None:
    answers = [
        api.post("/api/v2/campaigns/hybrid", body, headers={"Idempotency-Key": "once"}).json()
        for _ in range(2)
    ]
    assert answers[0] == answers[1]
    with system_transaction():
        assert Campaign.objects.count() == 1


def test_the_preview_shows_texts_on_real_fans(api: APIClient, waiting: Campaign, account: Account) -> None:
    preview = api.get(url(waiting, "preview")).json()
    assert preview["plan"] == {"summary": "Lake"}
    assert [sample["text"] for sample in preview["samples"]] == [f"Hello Grace, from {account.name}."]
    assert preview["recipients"] == 1


def test_approving_lets_a_campaign_go_and_only_once(api: APIClient, waiting: Campaign) -> None:
    assert api.post(url(waiting, "approve")).status_code == 200
    again = api.post(url(waiting, "approve"))
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "not_awaiting_approval"


def test_rejecting_wants_a_reason_and_ends_the_campaign(api: APIClient, waiting: Campaign) -> None:
    assert api.post(url(waiting, "reject"), {}).status_code in (400, 422)
    answer = api.post(url(waiting, "reject"), {"reason": "Too pushy."}).json()
    assert (answer["status"], answer["reason"]) == ("cancelled", "Too pushy.")
    assert [step["status"] for step in answer["steps"]] == ["skipped"]
    assert api.post(url(waiting, "approve")).status_code == 409


def test_pausing_says_what_is_in_flight(api: APIClient, waiting: Campaign) -> None:
    paused = api.post(url(waiting, "pause")).json()
    assert (paused["paused"], paused["in_flight"]) == (True, 0)
    assert api.post(url(waiting, "resume")).json()["paused"] is False


def test_cancelling_twice_is_the_same_as_once(api: APIClient, waiting: Campaign) -> None:
    cancelled = api.post(url(waiting, "cancel"), {"reason": "Too late."}).json()
    assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "Too late.")
    assert api.post(url(waiting, "cancel")).status_code == 200
    assert api.post(url(waiting, "pause")).status_code == 409


@pytest.mark.parametrize("action", ["approve", "reject", "pause", "resume", "cancel"])
def test_an_analyst_may_look_but_not_act(
    analyst_api: APIClient, waiting: Campaign, body: dict[str, Any], action: str
) -> None:
    assert analyst_api.get(f"/api/v2/campaigns/status/{waiting.pk}").status_code == 200
    assert analyst_api.post(url(waiting, action), {"reason": "x"}).status_code == 403
    assert analyst_api.post("/api/v2/campaigns/hybrid", body).status_code == 403


@pytest.mark.parametrize("action", ["approve", "reject", "pause", "resume", "cancel"])
def test_a_stranger_finds_nothing(stranger_api: APIClient, waiting: Campaign, action: str) -> None:
    given = {"reason": "x"} if action in ("reject", "cancel") else None
    assert stranger_api.post(url(waiting, action), given).status_code == 404
    assert stranger_api.get(url(waiting, "preview")).status_code == 404
    assert stranger_api.get(f"/api/v2/campaigns/status/{waiting.pk}").status_code == 404
    assert stranger_api.get("/api/v2/campaigns").json()["results"] == []
    with system_transaction():
        assert Campaign.objects.get().status == CampaignStatus.AWAITING_APPROVAL


def test_a_strangers_campaign_cannot_use_our_account(stranger_api: APIClient, body: dict[str, Any]) -> None:
    response = stranger_api.post("/api/v2/campaigns/hybrid", body)
    assert response.json()["error"]["code"] == "unknown_account"


@pytest.mark.parametrize("path", ["/api/v2/campaigns", "/api/v2/campaigns/status"])
def test_a_list_costs_as_many_queries_for_twenty_as_for_two(
    api: APIClient,
    agency: Tenant,
    account: Account,
    path: str,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(2):
        factories.campaign(tenant=agency, accounts=[account])
    api.get(path)  # notes the key's use, which happens once a minute
    with django_assert_max_num_queries(100) as few:
        assert len(api.get(path).json()["results"]) == 2
    for _ in range(18):
        factories.campaign(tenant=agency, accounts=[account])
    with django_assert_max_num_queries(100) as many:
        assert len(api.get(path).json()["results"]) == 20
    assert len(many) == len(few)


def test_a_list_is_filtered_and_paged(api: APIClient, agency: Tenant, account: Account) -> None:
    ids = [str(factories.campaign(tenant=agency, accounts=[account]).pk) for _ in range(3)]
    page = api.get("/api/v2/campaigns?limit=2").json()
    assert [row["id"] for row in page["results"]] == [ids[2], ids[1]]
    assert [row["id"] for row in api.get(page["next"]).json()["results"]] == [ids[0]]
    assert api.get("/api/v2/campaigns?status=finished").json()["results"] == []
    assert api.get("/api/v2/campaigns?status=done").status_code in (400, 422)
