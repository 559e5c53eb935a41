"""Ideas for content through the API."""

import pytest
from rest_framework.test import APIClient

from apps.ai.models import Generation
from apps.messaging.models import Account
from apps.tenants.system import system_transaction
from tests.conftest import as_json


@pytest.mark.usefixtures("deployments")
def test_ideas_come_as_data(api: APIClient) -> None:
    question = {"input": "Fitness, mostly short videos.", "variables": {"platforms": ["instagram"]}}

    answer = api.post("/api/content-ideas/generate", question, format="json")

    body = as_json(answer)
    assert answer.status_code == 200
    assert (body["task"], body["text"]) == ("idea", None)
    assert body["data"]["ideas"]
    assert all(set(idea) == {"title", "format", "hook", "why"} for idea in body["data"]["ideas"])


@pytest.mark.usefixtures("deployments")
def test_they_may_be_for_an_account(account: Account, api: APIClient) -> None:
    question = {"input": "Fitness, mostly short videos.", "account": str(account.pk)}

    answer = api.post("/api/content-ideas/generate", question, format="json")

    assert as_json(answer)["account"] == str(account.pk)
    with system_transaction():
        assert Generation.objects.get().account_id == account.pk


def test_a_field_that_is_unknown_is_refused(api: APIClient) -> None:
    answer = api.post("/api/content-ideas/generate", {"input": "Fitness.", "task": "idea"}, format="json")

    assert answer.status_code == 400
    assert "task" in as_json(answer)["error"]["fields"]
