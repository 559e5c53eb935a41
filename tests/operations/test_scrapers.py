"""Who may read the metrics."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.conftest import as_json

pytestmark = pytest.mark.django_db

TOKEN = "a token of forty characters, say, or more"


def read(**headers: Any) -> Any:
    return APIClient().get("/api/metrics", **headers)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_may(address: str) -> None:
    assert read(REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.2", "203.0.113.7", "::ffff:203.0.113.7", "fe80::1", ""]
)
def test_without_a_token_nobody_else_may(address: str) -> None:
    answer = read(REMOTE_ADDR=address)

    assert answer.status_code == 403
    assert "HUNTAZE_METRICS_TOKEN" in as_json(answer)["error"]["message"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"])
def test_a_proxy_on_this_machine_is_not_this_machine(header: str) -> None:
    assert read(headers={header: "127.0.0.1"}).status_code == 403


def test_with_a_token_whoever_has_it_may(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN

    for scheme in ("Bearer", "bearer"):
        sent = {"Authorization": f"{scheme} {TOKEN}", "X-Forwarded-For": "203.0.113.7"}
        assert read(REMOTE_ADDR="203.0.113.7", headers=sent).status_code == 200


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer Zürich"],
)
def test_with_a_token_nobody_may_without_it_even_here(sent: str, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN

    answer = read(headers={"Authorization": sent} if sent else {})

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert as_json(answer)["error"]["code"] == "not_authenticated"


def test_health_stays_open_to_all(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN

    assert APIClient().get("/api/health", REMOTE_ADDR="203.0.113.7").status_code in (200, 503)
