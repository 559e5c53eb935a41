"""The API's description, and the page that shows it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from apps.common.ids import uuid7
from apps.messaging.models import Account
from apps.tenants.models import Role, Tenant
from tests import factories
from tests.conftest import as_json, client_of
from tests.described import described, paths

CAMPAIGN = {"name": "Summer", "type": "mass_message", "brief": "New.", "accounts": ["{none}"]}
CREATING = [
    "/api/v2/accounts",
    "/api/v2/accounts/{account_id}/fans",
    "/api/v2/onlyfans/messages",
    "/api/admin/feature-flags",
    "/api/v2/costs/budgets",
    "/api/v2/costs/targets",
    "/api/v2/costs/thresholds",
    "/api/v2/campaigns/hybrid",
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
        for method, operation in operations.items():
            assert operation["tags"], path
            assert operation["description"], path
            names.add(operation["operationId"])
            answers = operation["responses"]
            expected: set[str] = set()
            if any(operation["security"]):
                expected |= {"400", "401", "403", "503"}
            if "{" in path:
                expected |= {"404"}
            if method in ("post", "patch"):
                expected |= {"409", "411", "413", "415"}
            if "requestBody" in operation:
                expected |= {"422"}
            assert expected <= set(answers), (method, path)
            for status in expected:
                assert answers[status]["$ref"].startswith("#/components/responses/"), (method, path, status)
    assert len(names) == sum(len(operations) for operations in schema["paths"].values())


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "costs/stats?since=today", None, 400),
        ("GET", "costs/forecast?since=today", None, 400),
        ("GET", "costs/targets/{none}", None, 404),
        ("GET", "onlyfans/stats?account={none}&fan={none}", None, 404),
        ("POST", "campaigns/{campaign}/approve", None, 409),
        ("POST", "campaigns/{none}/resume", None, 404),
        ("POST", "campaigns/hybrid", {**CAMPAIGN, "user": "{none}"}, 404),
        ("POST", "campaigns/hybrid", CAMPAIGN, 422),
        ("POST", "costs/budgets", {"scope": "account", "scope_id": "{none}", "limit": "1"}, 404),
        ("POST", "costs/budgets", {"limit": "1"}, 409),
        ("POST", "costs/thresholds", {"budget": "{none}", "thresholds": [50]}, 404),
        ("POST", "onlyfans/messages", {"account": "{none}", "fan": "{none}", "text": "Hello"}, 404),
        ("POST", "costs/optimize", {"action": "apply", "recommendation": "{none}"}, 404),
        ("POST", "messages/{none}/cancel", None, 404),
        ("PATCH", "accounts/{none}", {"name": "Luna"}, 404),
        ("POST", "../admin/feature-flags", {"name": "no-such-flag", "enabled": True}, 404),
    ],
)
def test_what_is_refused_is_refused_as_described(
    method: str, path: str, body: dict[str, Any] | None, status: int, agency: Tenant, account: Account
) -> None:
    campaign = factories.campaign(tenant=agency, accounts=[account])
    api, names = client_of(agency, Role.OWNER), {"none": uuid7(), "campaign": campaign.pk}
    api.post("/api/v2/costs/budgets", {"limit": "1"})
    sent = body and json.loads(json.dumps(body).replace("{none}", str(names["none"])))
    response = api.generic(
        method,
        f"/api/v2/{path.format(**names)}".replace("/v2/..", ""),
        json.dumps(sent or {}),
        content_type="application/json",
    )
    assert response.status_code == status, response.content
    assert described(response)


@pytest.mark.parametrize("path", ["costs/targets/{}/test", "costs/alerts/{}/acknowledge", "costs/budgets"])
def test_whoever_may_not_is_refused_as_described(
    path: str, client: APIClient, analyst_api: APIClient
) -> None:
    for asked, status in ((client, 401), (analyst_api, 403)):
        response = asked.post(f"/api/v2/{path.format(uuid7())}")
        assert (response.status_code, described(response)) == (status, True)


def test_what_takes_no_body_refuses_one_as_described(agency: Tenant) -> None:
    api = client_of(agency, Role.OWNER)
    posts = {path: each["post"] for path, each in paths().items() if "post" in each}
    bodiless = [path for path, operation in posts.items() if "requestBody" not in operation]
    assert len(bodiless) >= 8
    for path in bodiless:
        url = re.sub(r"{\w+}", str(uuid7()), path)
        for sent in ("{", '{"note": "x"}', "[]", "null"):
            response = api.generic("POST", url, sent, content_type="application/json")
            assert (response.status_code, described(response)) == (400, True), (path, sent)
        response = api.generic("POST", url, "note=x", content_type="application/x-www-form-urlencoded")
        assert (response.status_code, described(response)) == (415, True), path
        for response in (api.generic("POST", url), api.post(url), api.post(url, {})):
            assert (response.status_code, described(response)) == (404, True), path


def test_a_body_in_chunks_is_refused_as_described(api: APIClient) -> None:
    response = api.post("/api/v2/costs/budgets", {"limit": "1"}, headers={"Transfer-Encoding": "chunked"})
    assert (response.status_code, described(response)) == (411, True)


def test_the_credential_is_in_no_answer(schema: dict[str, Any]) -> None:
    schemas = schema["components"]["schemas"]
    assert "credential" in schemas["AccountRequest"]["properties"]
    assert "credential" not in schemas["Account"]["properties"]


def test_the_page_uses_nothing_from_outside(client: APIClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.content.decode()) == []
    assert b"/static/drf_spectacular_sidecar/" in page.content


def test_only_where_there_is_a_choice_of_formats_is_one_offered(schema: dict[str, Any]) -> None:
    offered = [
        path
        for path, operations in schema["paths"].items()
        for operation in operations.values()
        if "format" in [each["name"] for each in operation.get("parameters", [])]
    ]
    assert sorted(offered) == ["/api/v2/analytics/economics", "/api/v2/costs/breakdown"]


def test_a_list_is_described_with_its_limits_and_no_link_of_elsewhere(
    schema: dict[str, Any],
) -> None:
    budgets = schema["paths"]["/api/v2/costs/budgets"]["get"]
    page = schema["components"]["schemas"]["PaginatedBudgetList"]["properties"]
    for name in ("next", "previous"):
        assert page[name]["description"]
        assert page[name]["example"] is None
    (example,) = budgets["responses"]["200"]["content"]["application/json"]["examples"].values()
    assert (example["value"]["next"], len(example["value"]["results"])) == (None, 1)
    (limit,) = [each["schema"] for each in budgets["parameters"] if each["name"] == "limit"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 200, 50)


def test_an_idempotency_key_is_described_as_it_is_taken(schema: dict[str, Any]) -> None:
    parameters = schema["paths"]["/api/v2/costs/budgets"]["post"]["parameters"]
    (key,) = [each for each in parameters if each["name"] == "Idempotency-Key"]
    assert key["schema"]["pattern"] == "^[ -~]{1,255}$"
