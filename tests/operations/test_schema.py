"""The API's description, and the page that shows it."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from tests.conftest import as_json

CREATING = [
    "/api/v2/accounts",
    "/api/v2/accounts/{account_id}/fans",
    "/api/v2/onlyfans/messages",
    "/api/admin/feature-flags",
    "/api/v2/costs/budgets",
    "/api/v2/costs/thresholds",
    "/api/v2/analytics/revenue",
]


@pytest.fixture
def schema(client: APIClient) -> dict[str, Any]:
    document: dict[str, Any] = as_json(client.get("/api/schema?format=json"))
    return document


def test_the_description_is_valid_and_made_without_a_warning(tmp_path: Path) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))


def test_it_is_openapi_3_1_with_keys_as_bearer_tokens(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert schema["paths"]["/api/v2/accounts"]["get"]["security"] == [{"apiKey": []}]
    assert schema["paths"]["/api/health"]["get"]["security"] == [{}]


@pytest.mark.parametrize("path", CREATING)
def test_what_creates_takes_an_idempotency_key_and_has_an_example(path: str, schema: dict[str, Any]) -> None:
    operation = schema["paths"][path]["post"]
    assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    assert operation["requestBody"]["content"]["application/json"]["examples"]


def test_every_operation_has_a_tag_a_description_and_its_refusals(schema: dict[str, Any]) -> None:
    names = set()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["tags"], path
            assert operation["description"], path
            names.add(operation["operationId"])
            if any(operation["security"]):
                assert {"401", "403"} <= set(operation["responses"]), path
            if "requestBody" in operation:
                assert {"400", "409", "415", "422"} <= set(operation["responses"]), path
    assert len(names) == sum(len(operations) for operations in schema["paths"].values())


def test_the_credential_is_in_no_answer(schema: dict[str, Any]) -> None:
    schemas = schema["components"]["schemas"]
    assert "credential" in schemas["AccountRequest"]["properties"]
    assert "credential" not in schemas["Account"]["properties"]


def test_the_page_uses_nothing_from_outside(client: APIClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.content.decode()) == []
    assert b"/static/drf_spectacular_sidecar/" in page.content
