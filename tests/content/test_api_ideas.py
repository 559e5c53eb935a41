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


@pytest.mark.usefixtures("deployments")
def test_their_task_may_be_said(api: APIClient) -> None:
    question = {"input": "Fitness.", "task": "idea"}

    assert api.post("/api/content-ideas/generate", question, format="json").status_code == 200


@pytest.mark.parametrize("field", ["task", "tone"])
def test_another_task_and_unknown_fields_are_refused(api: APIClient, field: str) -> None:
    answer = api.post("/api/content-ideas/generate", {"input": "Fitness.", field: "caption"}, format="json")

    assert answer.status_code == 400
    assert list(as_json(answer)["error"]["fields"]) == [field]
