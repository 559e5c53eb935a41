import time
from typing import Any

import pytest

from tests.http_client import http
from tests.sandbox.gateway_client import GatewayClient


def test_a_message_is_accepted_once_and_recognised_by_its_key_afterwards(gateway: GatewayClient) -> None:
    first, second = gateway.send(), gateway.send()

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert set(first.json()) == {"id", "created_at"}
    assert [each["outcome"] for each in gateway.arrivals()] == ["accepted", "repeated"]


def test_a_key_belongs_to_its_account(gateway: GatewayClient) -> None:
    gateway.send(account="anna")

    assert gateway.send(account="berta").status_code == 201
    assert gateway.audit()["duplicates_by_key"] == 1


def test_a_look_up_finds_a_message_or_none(gateway: GatewayClient) -> None:
    sent = gateway.send("key-1").json()

    assert gateway.look_up("key-1").json() == {"messages": [sent]}
    assert gateway.look_up("key-2").json() == {"messages": []}
    assert gateway.look_up("key-1", account="berta").json() == {"messages": []}
    assert gateway.look_up("").status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"credential": ""}, 401, "unauthorized"),
        ({"key": None}, 400, "idempotency_key_missing"),
        ({"key": "k" * 256}, 400, "idempotency_key_too_long"),
        ({"content": b"{"}, 400, "bad_request"),
        ({"content": b"[]"}, 400, "bad_request"),
        ({"body": {"price": None}}, 422, "invalid_message"),
        ({"body": {"text": "  "}}, 422, "invalid_message"),
        ({"body": {"text": "x" * 10_001}}, 422, "invalid_message"),
        ({"body": {"text": "x", "price": 12}}, 422, "invalid_message"),
        ({"body": {"text": "x", "price": "12.0"}}, 422, "invalid_message"),
        ({"body": {"text": "x", "media": [1]}}, 422, "invalid_message"),
    ],
)
def test_what_is_no_message_is_rejected_and_fills_no_window(
    gateway: GatewayClient, changes: dict[str, Any], status: int, code: str
) -> None:
    answer = gateway.send(**changes)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    audit = gateway.audit()
    assert (audit["arrivals"], audit["counted"], audit["accepted"]) == (1, 0, 0)


def test_text_of_any_script_and_ids_with_any_sign_are_kept(gateway: GatewayClient) -> None:
    answer = gateway.send(account="an%2Fna", recipient="f%C3%A4n", body={"text": "grüße 🎉 \ud83d"})

    assert answer.status_code == 201
    [arrival] = gateway.arrivals()
    assert (arrival["account"], arrival["recipient"]) == ("an/na", "fän")


def test_an_unknown_path_is_answered_in_json(gateway: GatewayClient) -> None:
    answer = http.get(f"{gateway.url}/nowhere")

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_health_says_which_server_it_is(gateway: GatewayClient) -> None:
    assert http.get(f"{gateway.url}/health").json() == {"status": "ok", "server": "gateway"}


def test_the_audit_names_the_worst_account_and_the_duplicates(gateway: GatewayClient) -> None:
    gateway.put_faults({"honour_keys": False})
    for key in ("one", "one", "two"):
        gateway.send(key)
    gateway.send("three", account="berta")

    audit = gateway.audit(seconds=60, limit=2)

    assert audit["worst_account"]["account"] == "anna"
    assert audit["worst_account"]["count"] == 3
    assert (audit["worst_recipient"]["account"], audit["worst_recipient"]["recipient"]) == ("anna", "fan-1")
    assert audit["within_limit"] is False
    assert (audit["duplicates_by_key"], audit["duplicate_keys"]) == (1, ["one"])
    assert audit["duplicates_by_text"] == 2
    assert audit["accounts"]["berta"] == {"arrivals": 1, "accepted": 1, "worst": 1}
    assert gateway.audit(seconds=60, limit=3)["within_limit"] is True


def test_audit_and_arrivals_can_begin_later(gateway: GatewayClient) -> None:
    gateway.send("one")
    first = gateway.arrivals()[0]["at"]
    gateway.send("two", account="berta")

    assert [each["key"] for each in gateway.arrivals(after=first)] == ["two"]
    assert [each["key"] for each in gateway.arrivals(account="anna")] == ["one"]
    assert gateway.audit(since=first)["arrivals"] == 2
    assert gateway.audit(since=first + 0.000001)["arrivals"] == 1


@pytest.mark.parametrize("query", ["seconds=0", "seconds=x", "limit=1.5", "since=nan", "limit=-1"])
def test_an_audit_of_nonsense_is_refused(gateway: GatewayClient, query: str) -> None:
    assert http.get(f"{gateway.url}/audit?{query}").status_code == 422


def test_arrivals_after_nonsense_are_refused(gateway: GatewayClient) -> None:
    assert http.get(f"{gateway.url}/arrivals?after=noon").status_code == 422


def test_arrivals_are_stamped_when_they_came(gateway: GatewayClient) -> None:
    before = time.time()
    gateway.send()
    after = time.time()

    assert before - 0.05 <= gateway.arrivals()[0]["at"] <= after + 0.05


def test_a_reset_forgets_arrivals_and_keys(gateway: GatewayClient) -> None:
    gateway.send()
    gateway.reset()

    assert gateway.arrivals() == []
    assert gateway.send().status_code == 201
