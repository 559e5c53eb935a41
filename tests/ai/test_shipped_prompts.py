"""What the prompts that are shipped make of an API's question: its documentation says so."""

import pytest

from apps.ai.models import PromptTemplate
from apps.ai.serializers import AssistantRequest
from apps.ai.services.prompts import render_request

pytestmark = pytest.mark.django_db

TASKS = AssistantRequest().fields["task"].choices  # type: ignore[attr-defined]  # a choice, says the class


@pytest.mark.parametrize("key", ["content_ideas", *(f"assistant_{task}" for task in TASKS)])
def test_every_variable_is_shown_under_its_name(key: str) -> None:
    prompt = PromptTemplate.objects.get(key=key, is_active=True)
    given = {"seasons": ["spring", "summer"], "pieces": 3, "whatever else": "a text"}
    request = render_request(
        prompt=prompt, variables={"input": "Ideas, please.", "variables": given}, max_tokens=10
    )
    said = str(request)
    assert "Ideas, please." in said
    for shown in (
        "<seasons>spring; summer</seasons>",
        "<pieces>3</pieces>",
        "<whatever else>a text</whatever else>",
    ):
        assert shown in said
