"""Replaying dead messages, and taking queued ones back, through the API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.messaging.models import Account, Message, Outbox
from apps.messaging.services import outboxes, replay
from apps.messaging.services.archive import archive_messages
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import Sandbox, as_json, client_of
from tests.messaging import dispatching as d

REPLAY = "/api/v2/messages/replay"
NOW = timezone.now


def die(number: int, account: Account, *, outbox: Outbox | None = None, **fields: Any) -> list[Message]:
    """Messages that are dead, in an outbox that counts them."""
    died = {"state": "dead", "reason": "attempts_exhausted", "finished_at": NOW(), "text": "Grüße ✨"}
    fans = factories.fans(number, account=account)
    found = [factories.message(fan=fan, outbox=outbox, **{**died, **fields}) for fan in fans]
    if outbox:
        d.change(outbox, dead=outbox.dead + number)
        outbox.dead += number
    return found


def replayed(api: APIClient, body: dict[str, Any], *, status: int = 200) -> dict[str, Any]:
    response = api.post(REPLAY, body)
    assert response.status_code == status, response.content
    found: dict[str, Any] = as_json(response)
    return found


def ids(messages: list[Message]) -> list[str]:
    return [str(message.pk) for message in messages]


def states(messages: list[Message]) -> list[str]:
    return [d.fresh(message).state for message in messages]


def test_messages_are_replayed_by_their_ids_and_keep_id_and_text(account: Account, api: APIClient) -> None:
    dead = die(2, account)
    queued = factories.message(fan=factories.fan(account=account))
    body = {"ids": [*ids(dead), ids(dead)[0], str(queued.pk), str(uuid7())]}
    assert replayed(api, body) == {
        "replayed": 2, "refused": {"other_state": 1, "not_found": 1}, "remaining": 0, "next": None,
    }  # fmt: skip
    for message in dead:
        row = d.row(pk=message.pk)
        assert (row.state, row.text, row.finished_at, row.failures) == ("queued", "Grüße ✨", None, 0)
    assert d.fresh(account).next_due <= NOW()


@pytest.mark.django_db(transaction=True)
def test_the_dead_of_a_finished_campaign_are_sent_and_it_stays_finished(
    gateway: Sandbox, account: Account, api: APIClient
) -> None:
    box = d.enqueue(account, 2)
    d.dispatch()
    died = die(3, account, outbox=d.fresh(box))
    with system_transaction():
        outboxes.close(outbox=d.fresh(box), now=NOW())
    closed_at = d.fresh(box).closed_at
    assert replayed(api, {"filter": {"campaign": str(box.campaign_id)}})["replayed"] == 3
    assert d.counts(box) == {"sent": 2, "queued": 3}
    d.dispatch()
    assert d.counts(box) == {"sent": 5}
    assert d.fresh(box).closed_at == closed_at
    assert states(died) == ["sent"] * 3
    assert gateway.audit()["accepted"] == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by", ["ids", "filter", "all"])
def test_archived_ones_come_back_and_are_archived_anew_when_they_have_ended(
    by: str, gateway: Sandbox, account: Account, api: APIClient, stranger_api: APIClient
) -> None:
    now, hour = NOW(), timedelta(hours=1)
    box = factories.outbox(tenant=Tenant(pk=account.tenant_id), closed_at=now - hour)
    dead = die(2, account, outbox=box, slots=[now - hour], failures=8)
    assert archive_messages(now=now) == 2
    archive_messages(now=now)
    assert d.fresh(box).archived_at
    chosen = {"ids": ids(dead), "filter": {"campaign": str(box.campaign_id)}, "all": True}
    body = {by: chosen[by]}
    assert replayed(stranger_api, body)["replayed"] == 0
    assert replayed(api, body) == {"replayed": 2, "refused": {}, "remaining": 0, "next": None}
    row = d.row(pk=dead[0].pk)
    assert (row.state, row.text, row.failures, row.slots) == ("queued", "Grüße ✨", 0, [now - hour])
    assert d.fresh(box).archived_at is None
    d.dispatch()
    assert d.counts(box) == {"sent": 2}
    assert archive_messages(now=now + hour) == 2
    archive_messages(now=now + hour)
    assert d.fresh(box).archived_at
    assert as_json(api.get(f"/api/v2/messages/{dead[0].pk}"))["state"] == "sent"


@pytest.mark.django_db(transaction=True)
def test_what_is_archived_and_not_dead_stays_there(account: Account, api: APIClient) -> None:
    now, hour = NOW(), timedelta(hours=1)
    box = factories.outbox(tenant=Tenant(pk=account.tenant_id), closed_at=now - hour, sent=1)
    (sent,) = die(1, account, state="sent", sent_at=now - hour)
    d.change(sent, outbox=box)
    assert archive_messages(now=now) == 1
    assert replayed(api, {"ids": ids([sent])})["refused"] == {"other_state": 1}
    assert replayed(api, {"all": True})["replayed"] == 0
    assert d.rows() == []


def test_those_of_a_cancelled_campaign_are_refused_and_counted(account: Account, api: APIClient) -> None:
    box = factories.outbox(tenant=Tenant(pk=account.tenant_id))
    refused, single = die(2, account, outbox=box), die(1, account)
    d.change(box, cancelled_at=NOW())
    assert replayed(api, {"ids": ids(refused + single)}) == {
        "replayed": 1, "refused": {"outbox_cancelled": 2}, "remaining": 0, "next": None,
    }  # fmt: skip
    body = replayed(api, {"all": True})
    assert (body["replayed"], body["refused"]) == (0, {"outbox_cancelled": 2})
    assert states(refused) == ["dead", "dead"]


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        ({"reason": "refused"}, [1]),
        ({"reason": "Überraschung"}, []),
        ({"finished_after": "2026-03-01T00:00:00Z"}, [0, 1]),
        ({"finished_before": "2026-03-01T00:00:00Z"}, [2]),
        ({"created_after": "2100-01-01T00:00:00Z"}, []),
        ({"created_before": "2100-01-01T00:00:00Z", "reason": "refused"}, [1]),
        ({"campaign": str(uuid7())}, []),
    ],
)
def test_a_filter_chooses(chosen: dict[str, str], fits: list[int], account: Account, api: APIClient) -> None:
    messages = [
        *die(1, account),
        *die(1, account, reason="refused"),
        *die(1, account, finished_at=datetime.fromisoformat("2026-02-01T00:00:00Z")),
    ]
    body = replayed(api, {"filter": chosen})
    assert body["replayed"] == len(fits)
    assert states(messages) == ["queued" if index in fits else "dead" for index in range(3)]


def test_an_account_chooses_its_own(agency: Tenant, api: APIClient) -> None:
    mine, others = (die(1, factories.account(tenant=agency)) for _ in range(2))
    assert replayed(api, {"filter": {"account": str(mine[0].account_id)}})["replayed"] == 1
    assert states(mine + others) == ["queued", "dead"]


def test_many_are_replayed_in_calls_that_go_on_where_the_last_one_ended(
    account: Account, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay.replay_matching, "__kwdefaults__", {"most": 2})
    messages = die(5, account)
    body: dict[str, Any] = {"all": True}
    calls, numbers, left = 0, [], []
    while body:
        response = api.post(REPLAY, body)
        answer = as_json(response)
        assert response.status_code == (202 if answer["remaining"] else 200)
        numbers.append(answer["replayed"])
        left.append(answer["remaining"])
        body, calls = answer["next"], calls + 1
        # What dies anew meanwhile is not replayed for ever.
        d.change(messages[0], state="dead", finished_at=NOW())
    assert (calls, numbers, left) == (3, [2, 2, 1], [3, 1, 0])
    assert states(messages) == ["dead", "queued", "queued", "queued", "queued"]


def test_unknown_ones_are_sent_again_by_their_ids_alone(account: Account, api: APIClient) -> None:
    (unknown,) = die(1, account, state="unknown", finished_at=None, reason="cut")
    assert replayed(api, {"ids": ids([unknown])})["refused"] == {"other_state": 1}
    for body in ({"all": True}, {"filter": {"reason": "cut"}}):
        response = api.post(REPLAY, {**body, "state": "unknown"})
        assert response.status_code == 400
        assert list(as_json(response)["error"]["fields"]) == ["state"]
    assert replayed(api, {"ids": ids([unknown]), "state": "unknown"})["replayed"] == 1
    assert states([unknown]) == ["queued"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "non_field_errors"),
        ({"all": False}, "non_field_errors"),
        ({"all": True, "filter": {"reason": "x"}}, "non_field_errors"),
        ({"ids": []}, "ids"),
        ({"ids": "all"}, "ids"),
        ({"ids": ["x"]}, "ids.0"),
        ({"ids": [str(uuid7())] * 1001}, "ids"),
        ({"filter": {}}, "filter.non_field_errors"),
        ({"filter": {"state": "dead"}}, "filter.state"),
        ({"filter": {"reason": ""}}, "filter.reason"),
        ({"filter": {"account": "7"}}, "filter.account"),
        ({"filter": {"finished_after": "yesterday"}}, "filter.finished_after"),
        ({"all": True, "state": "sent"}, "state"),
        ({"everything": True}, "everything"),
    ],
)
def test_what_cannot_be_right_is_refused_by_name(
    body: dict[str, Any], field: str, account: Account, api: APIClient
) -> None:
    dead = die(1, account)
    response = api.post(REPLAY, body)
    assert response.status_code == 400
    assert list(as_json(response)["error"]["fields"]) == [field]
    assert states(dead) == ["dead"]


def test_nobody_replays_anothers(account: Account, stranger_api: APIClient) -> None:
    dead = die(2, account)
    assert replayed(stranger_api, {"ids": ids(dead)})["refused"] == {"not_found": 2}
    assert replayed(stranger_api, {"all": True})["replayed"] == 0
    assert replayed(stranger_api, {"filter": {"account": str(account.pk)}})["replayed"] == 0
    assert states(dead) == ["dead", "dead"]


def test_managers_replay_and_others_do_not(agency: Tenant) -> None:
    for role, status in ((Role.ANALYST, 403), (Role.CREATOR, 403), (Role.MANAGER, 200), (Role.OWNER, 200)):
        assert client_of(agency, role).post(REPLAY, {"all": True}).status_code == status


def cancel(api: APIClient, message: Message) -> Any:
    return api.post(f"/api/v2/messages/{message.pk}/cancel")


@pytest.mark.django_db(transaction=True)
def test_a_queued_message_is_taken_back(gateway: Sandbox, account: Account, api: APIClient) -> None:
    box = d.enqueue(account, 2)
    first, second = d.rows()
    answer = cancel(api, first)
    body = as_json(answer)
    assert (answer.status_code, body["state"], body["reason"]) == (200, "cancelled", "cancelled")
    assert body["finished_at"]
    assert as_json(cancel(api, first)) == body
    assert d.counts(box) == {"queued": 1, "cancelled": 1}
    assert d.dispatch() == [second.pk]


@pytest.mark.parametrize(
    ("state", "code"),
    [("sending", "in_flight"), ("unknown", "in_flight"), ("sent", "already_sent"), ("dead", "already_dead")],
)
def test_what_is_on_its_way_or_has_ended_is_not_taken_back(
    state: str, code: str, account: Account, api: APIClient
) -> None:
    now = NOW()
    lease = {"lease_expires_at": now, "send_by": now} if state == "sending" else {}
    sent = {"sent_at": now} if state == "sent" else {}
    fields: dict[str, Any] = {"finished_at": now if state in ("sent", "dead") else None, **lease, **sent}
    (message,) = die(1, account, state=state, **fields)
    answer = cancel(api, message)
    assert (answer.status_code, as_json(answer)["error"]["code"]) == (409, code)
    assert states([message]) == [state]


def test_creators_take_messages_back_strangers_and_analysts_do_not(
    agency: Tenant, account: Account, stranger_api: APIClient, analyst_api: APIClient
) -> None:
    message = factories.message(fan=factories.fan(account=account))
    assert cancel(stranger_api, message).status_code == 404
    assert cancel(analyst_api, message).status_code == 403
    assert states([message]) == ["queued"]
    assert cancel(client_of(agency, Role.CREATOR), message).status_code == 200


def test_a_claim_and_a_cancellation_of_the_same_message_agree(
    gateway: Sandbox, account: Account, api: APIClient
) -> None:
    d.enqueue(account, 1)
    (message_id,) = d.grant(NOW() + timedelta(seconds=1))
    assert cancel(api, d.row(pk=message_id)).status_code == 409
