"""What may stand in a request's query, on every path alike."""

from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from apps.tenants.models import Role, Tenant
from tests.common.test_api_requests import error_of
from tests.conftest import as_json, client_of

# Any id, but the same in each process that runs tests.
BUDGET = f"/api/v2/costs/budgets/{UUID(int=1)}"


@pytest.mark.parametrize(
    "asked",
    [
        "/api/v2/analytics/economics?by=account&by=campaign",
        "/api/v2/costs/breakdown?by=model&by=day",
        "/api/v2/costs/targets?is_active=true&is_active=false",
        "/api/v2/costs/budgets?limit=5&limit=1",
        "/api/v2/costs/budgets?is_active=true&is_active=true",
        "/api/v2/costs/alerts?rule=a&rule=b",
        "/api/v2/onlyfans/stats?cursor=a&cursor=b",
        "/api/admin/feature-flags?limit=5&limit=1",
    ],
)
def test_a_parameter_of_which_only_the_last_would_count_is_refused(asked: str, agency: Tenant) -> None:
    name = asked.partition("?")[2].partition("=")[0]
    error = error_of(client_of(agency, Role.OWNER).get(asked), 400)
    assert error["fields"] == {name: "Give this parameter once."}


@pytest.mark.parametrize(
    "asked",
    [
        "/api/v2/costs/alerts?level=warning&level=critical",
        "/api/v2/costs/budgets?scope=tenant&scope=user&period=day&period=week",
        "/api/v2/costs/targets?channel=email&channel=slack",
        "/api/admin/feature-flags?limit=5",
    ],
)
def test_a_parameter_for_several_may_be_given_several_times(asked: str, agency: Tenant) -> None:
    assert as_json(client_of(agency, Role.OWNER).get(asked))["results"] is not None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/costs/stats?format=csv"),
        ("GET", "/api/v2/costs/budgets?format=csv"),
        ("GET", f"{BUDGET}?format=csv"),
        ("GET", "/api/v2/costs/alerts?format=csv"),
        ("GET", "/api/v2/generations?format=csv"),
        ("GET", "/api/v2/costs/forecast?format=xml"),
        ("GET", "/api/metrics/orchestrator?format=xml"),
        ("POST", "/api/ai-assistant/generate?format=xml"),
        ("POST", "/api/v2/costs/budgets?format=csv"),
        ("PATCH", f"{BUDGET}?format=csv"),
    ],
)
def test_a_format_where_there_is_no_choice_is_refused_by_name(method: str, path: str, api: APIClient) -> None:
    error = error_of(api.generic(method, path, "{}", content_type="application/json"), 400)
    assert list(error["fields"]) == ["format"]
    assert "unknown" in error["fields"]["format"]


@pytest.mark.parametrize("path", ["/api/v2/costs/breakdown", "/api/v2/analytics/economics"])
def test_a_format_where_there_is_a_choice_is_one_of_those(path: str, api: APIClient) -> None:
    answer = api.get(f"{path}?format=csv", HTTP_ACCEPT="text/csv")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert as_json(api.get(f"{path}?format=json"))["by"]
    assert list(error_of(api.get(f"{path}?format=xml"), 400)["fields"]) == ["format"]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "9" * 30, "", "٣"])
def test_a_limit_outside_of_what_a_page_may_have_is_refused(limit: str, api: APIClient) -> None:
    error: dict[str, Any] = error_of(api.get("/api/v2/costs/budgets", {"limit": limit}), 400)
    assert error["fields"] == {"limit": "Give a whole number from 1 to 200."}
    assert as_json(api.get("/api/v2/costs/budgets?limit=200"))["results"] == []
