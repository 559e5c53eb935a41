import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from tests.http_client import http
from tests.sandbox.gateway_client import GatewayClient


def test_faults_can_be_put_read_and_deleted(gateway: GatewayClient) -> None:
    document = {"seed": 3, "rules": [{"error_rates": {"500": 1}}], "lookup": "absent_405"}

    assert gateway.put_faults(document).json() == document
    assert http.get(f"{gateway.url}/faults").json() == document
    assert http.delete(f"{gateway.url}/faults").json() == {}
    assert gateway.send().status_code == 201


@pytest.mark.parametrize("content", ["[]", "{", '{"rules": [{"hang": 2}]}'])
def test_a_refused_document_leaves_the_faults_as_they_were(gateway: GatewayClient, content: str) -> None:
    gateway.put_faults({"rules": [{"error_rates": {"500": 1}}]})

    answer = http.put(f"{gateway.url}/faults", content=content)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_faults")
    assert gateway.send().status_code == 500


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 503, 599])
def test_an_error_on_request_accepts_nothing(gateway: GatewayClient, status: int) -> None:
    gateway.put_faults({"rules": [{"error_rates": {str(status): 1}, "count": 1}]})

    answer = gateway.send()

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message"}
    assert gateway.look_up().json() == {"messages": []}
    assert (gateway.audit()["counted"], gateway.audit()["accepted"]) == (1, 0)
    assert gateway.send().status_code == 201


def test_a_429_says_when_to_come_back(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"error_rates": {"429": 1}, "retry_after": 7, "count": 1}]})
    assert gateway.send().headers["Retry-After"] == "7"

    gateway.put_faults({"rules": [{"error_rates": {"429": 1}}]})
    assert gateway.send().headers["Retry-After"] == "1"

    gateway.put_faults({"rules": [{"error_rates": {"429": 1}, "retry_after_form": "date"}]})
    assert parsedate_to_datetime(gateway.send().headers["Retry-After"]).tzinfo is UTC

    gateway.put_faults({"rules": [{"error_rates": {"429": 1}, "retry_after_form": "none"}]})
    assert "Retry-After" not in gateway.send().headers


def test_a_hung_request_is_never_answered_nor_accepted(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"hang": 1, "count": 1}]})

    with pytest.raises(httpx2.ReadTimeout):
        gateway.send(timeout=0.2)

    assert gateway.look_up().json() == {"messages": []}
    assert [each["outcome"] for each in gateway.arrivals()] == ["lost"]


def test_a_cut_before_accepting_leaves_nothing_behind(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"cut_before": 1, "count": 1}]})

    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        gateway.send()

    assert gateway.look_up().json() == {"messages": []}
    assert gateway.send().status_code == 201


def test_a_cut_after_accepting_leaves_a_message_that_can_be_looked_up(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"cut_after": 1, "count": 1}]})

    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        gateway.send()

    [arrival] = gateway.arrivals()
    assert (arrival["outcome"], arrival["status"]) == ("accepted", 0)
    assert gateway.look_up().json()["messages"][0]["id"] == arrival["message_id"]
    assert gateway.send().status_code == 200


def test_a_malformed_answer_hides_an_accepted_message(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"malformed": 1, "count": 1}]})

    answer = gateway.send()

    assert answer.status_code == 201
    with pytest.raises(ValueError, match="Unterminated"):
        answer.json()
    assert len(gateway.look_up().json()["messages"]) == 1


def test_latency_delays_the_answer_but_not_the_acceptance(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"latency": {"distribution": "constant", "ms": 30_000}, "count": 1}]})

    with pytest.raises(httpx2.ReadTimeout):
        gateway.send(timeout=0.2)

    assert len(gateway.look_up().json()["messages"]) == 1


def test_a_slow_answer_takes_as_long_as_asked(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"latency": {"distribution": "constant", "ms": 150}}]})

    started = time.monotonic()
    assert gateway.send().status_code == 201

    assert time.monotonic() - started >= 0.15


def test_a_gateway_that_denies_idempotency_delivers_twice(gateway: GatewayClient) -> None:
    gateway.put_faults({"honour_keys": False})

    first, second = gateway.send(), gateway.send()

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]
    assert gateway.look_up().json()["messages"] == [first.json()]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_gateway_may_have_no_look_up(gateway: GatewayClient, status: int) -> None:
    gateway.put_faults({"lookup": f"absent_{status}"})

    assert gateway.send().status_code == 201
    assert gateway.look_up().status_code == status


def test_faults_of_look_ups_leave_sending_alone(gateway: GatewayClient) -> None:
    rules = [
        {"operation": "lookup", "error_rates": {"503": 1}, "count": 1},
        {"operation": "lookup", "malformed": 1, "count": 1},
        {"operation": "lookup", "cut_after": 1, "count": 1},
    ]
    gateway.put_faults({"rules": rules})

    assert gateway.send().status_code == 201
    assert gateway.look_up().status_code == 503
    assert gateway.look_up().text == '{"id": "'
    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        gateway.look_up()
    assert gateway.look_up().status_code == 200


def test_faults_can_strike_one_account_or_recipient(gateway: GatewayClient) -> None:
    gateway.put_faults({"rules": [{"account": "anna", "recipient": "fan-1", "error_rates": {"403": 1}}]})

    assert gateway.send("one").status_code == 403
    assert gateway.send("two", recipient="fan-2").status_code == 201
    assert gateway.send("three", account="berta").status_code == 201


def test_a_revoked_credential_is_refused_everywhere(gateway: GatewayClient) -> None:
    gateway.put_faults({"revoked_accounts": ["anna"]})

    assert gateway.send().status_code == 401
    assert gateway.look_up().status_code == 401
    assert gateway.send(account="berta").status_code == 201


def test_an_enforced_limit_refuses_what_is_too_much_for_an_account(gateway: GatewayClient) -> None:
    gateway.put_faults({"enforce_limit": {"count": 2, "seconds": 60}})

    statuses = [gateway.send(f"key-{number}").status_code for number in range(3)]
    refused = gateway.send("key-3")

    assert statuses == [201, 201, 429]
    assert 58 <= int(refused.headers["Retry-After"]) <= 60
    assert gateway.send("key-0").status_code == 200
    assert gateway.send("key-4", account="berta").status_code == 201
    gateway.reset()
    assert gateway.send("key-5").status_code == 201


def test_an_enforced_limit_opens_again(gateway: GatewayClient) -> None:
    gateway.put_faults({"enforce_limit": {"count": 1, "seconds": 0.3}})
    assert gateway.send("one").status_code == 201
    deadline = time.monotonic() + 5
    refused = 0

    while gateway.send("two").status_code == 429:
        refused += 1
        assert time.monotonic() < deadline

    assert refused > 0
    accepted = [each["at"] for each in gateway.arrivals() if each["accepted"]]
    assert accepted[1] - accepted[0] >= 0.3 - 1e-6  # what a float of today can tell
