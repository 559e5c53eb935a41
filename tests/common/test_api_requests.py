"""What the API does with requests that no view of ours should have to think about."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from rest_framework.test import APIClient

from apps.messaging.models import Account
from tests.conftest import as_json

ACCOUNTS = "/api/v2/accounts"


def error_of(response: Any, status: int) -> dict[str, Any]:
    """The error, in the one shape that there is."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    body = as_json(response)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "fields"}
    assert body["error"]["message"]
    error: dict[str, Any] = body["error"]
    return error


def send(api: APIClient, body: bytes, content_type: str = "application/json", **headers: Any) -> Any:
    return api.generic("POST", ACCOUNTS, body, content_type=content_type, **headers)  # type: ignore[arg-type]  # bytes are fine


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "required"),
        (b"{", "valid JSON"),
        (b"nothing", "valid JSON"),
        (b'{"name": NaN}', "NaN"),
        (b'{"name": 1e400}', "too large"),
        (b'{"name": ' + b"9" * 5000 + b"}", "valid JSON"),
        (b'{"name": "a\\u0000b"}', "NUL"),
        (b'{"a\\u0000b": 1}', "NUL"),
        (b'{"name": "\\ud800"}', "surrogate"),
        (b'{"name": "\xff"}', "valid JSON"),
        ('{"name": "Luna"}'.encode("utf-16"), "valid JSON"),
        (b'{"name": 1, "name": 2}', "twice"),
        (b"[" * 40 + b"]" * 40, "nested"),
        (b"[" * 200_000, "nested"),
        (b"[]", "dictionary"),
        (b"null", "No data"),
        (b'"text"', "dictionary"),
    ],
)
def test_a_body_that_cannot_be_right_is_refused_in_words(body: bytes, words: str, api: APIClient) -> None:
    assert words in json.dumps(error_of(send(api, body), 400))


def test_a_name_is_one_line(api: APIClient, account: Account) -> None:
    for response in (
        api.patch(f"{ACCOUNTS}/{account.pk}", {"name": "Lu\nna"}),
        api.post(ACCOUNTS, {"name": "Lu\u202ena"}),
        api.post("/api/v2/campaigns/hybrid", {"name": "Sum\x1bmer"}),
    ):
        assert "one line" in error_of(response, 400)["fields"]["name"]


@pytest.mark.parametrize("charset", ["utf-16", "rot13", "zlib", "nonsense"])
def test_json_is_read_as_utf_8_whatever_charset_is_claimed(charset: str, api: APIClient) -> None:
    response = send(api, '{"name": "Lüna"}'.encode(), f"application/json; charset={charset}")
    assert "platform" in error_of(response, 400)["fields"]


def test_a_body_that_is_too_large_is_refused(api: APIClient) -> None:
    limit: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert error_of(send(api, b" " * (limit + 1)), 413)["code"] == "too_large"


def test_a_body_in_chunks_is_refused_rather_than_taken_for_empty(api: APIClient) -> None:
    response = send(api, b"{}", HTTP_TRANSFER_ENCODING="chunked")
    assert error_of(response, 411)["code"] == "length_required"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_only_json_is_understood(content_type: str, api: APIClient) -> None:
    assert error_of(send(api, b"name=Luna", content_type), 415)["code"] == "unsupported_media_type"


def test_only_json_is_answered(api: APIClient) -> None:
    assert error_of(api.get(ACCOUNTS, HTTP_ACCEPT="text/html"), 406)["code"] == "not_acceptable"


@pytest.mark.parametrize("method", ["DELETE", "PUT", "OPTIONS", "PATCH"])
def test_a_method_that_a_path_does_not_know_is_refused(method: str, api: APIClient) -> None:
    response = api.generic(method, ACCOUNTS)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert "POST" in response.headers["Allow"]


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/v2/nothing",
        "/api/v2/accounts/1",
        "/api/v2/accounts/",
        "/api/v2/cost",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_is_a_404_in_the_same_shape(method: str, path: str, api: APIClient) -> None:
    assert error_of(api.generic(method, path), 404)["code"] == "not_found"


def test_elsewhere_a_404_is_a_page(client: Client) -> None:
    assert client.get("/nothing").headers["Content-Type"].startswith("text/html")


def test_a_defect_of_ours_is_a_500_that_tells_nothing(
    account: Account, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr("apps.messaging.serializers.accounts.AccountSerializer.get_limit", fail)
    api.raise_request_exception = False
    response = api.get(f"{ACCOUNTS}/{account.pk}")
    assert error_of(response, 500)["code"] == "server_error"
    assert b"secret" not in response.content


def test_a_host_that_is_not_ours_is_refused_in_the_same_shape(api: APIClient) -> None:
    assert error_of(api.get(ACCOUNTS, HTTP_HOST="evil.example"), 400)["code"] == "bad_request"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer hz_unknown", "Bearer a b", "Basic YTpi", "Bearer \xe9"]
)
def test_without_a_known_key_nothing_is_told(header: str, db: None) -> None:
    response = APIClient().get(ACCOUNTS, HTTP_AUTHORIZATION=header)
    error_of(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_database_that_is_away_asks_to_try_again(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("apps.tenants.authentication.find_api_key", away)
    response = api.get(ACCOUNTS)
    assert error_of(response, 503)["code"] == "unavailable"
    assert response.headers["Retry-After"] == "1"
