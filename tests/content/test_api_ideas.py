"""Ideas for content through the API."""

import pytest
from rest_framework.test import APIClient

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
