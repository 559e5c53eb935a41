import json
from typing import Any

import pytest

from apps.ai.answers import Read, Unusable, read
from apps.ai.conversation import Conversation
from apps.ai.providers.outcomes import Completion
from apps.ai.providers.requests import ChatRequest, Message

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary"],
    "properties": {"summary": {"type": "string"}},
}


def completion(text: str, finish_reason: str = "stop") -> Completion:
    return Completion(text=text, usage=None, model="m", finish_reason=finish_reason)


def test_text_is_taken_as_it_is() -> None:
    assert read(completion(" Hello.\n"), schema=None) == Read("Hello.")


@pytest.mark.parametrize("text", ['{"summary": "x"}', '```json\n{"summary": "x"}\n```'])
def test_json_that_fits_is_read(text: str) -> None:
    assert read(completion(text), schema=SCHEMA) == Read(text, {"summary": "x"})


PRICED = {"type": "object", "properties": {"n": {"type": "number", "multipleOf": 0.01}}}


@pytest.mark.parametrize(
    ("found", "schema", "problem"),
    [
        (completion("Half a", "length"), None, "cut off"),
        (completion("  "), None, "empty"),
        (completion("Sure! {}"), SCHEMA, "nothing else"),
        (completion("{}"), SCHEMA, "summary"),
        (completion('{"summary": 1}'), SCHEMA, "$.summary"),
        (completion('["summary"]'), SCHEMA, "$"),
        (completion('{"summary": "x", "n": NaN}'), {}, "no number"),
        (completion('{"summary": "x", "n": 1e999}'), {}, "no number"),
        (completion('{"summary": "x", "n": 1' + "0" * 400 + "}"), PRICED, "too large"),
        (completion("[" * 100_000 + "]" * 100_000), {}, "nested too deeply"),
    ],
)
def test_what_can_not_be_used_says_why(found: Completion, schema: Any, problem: str) -> None:
    outcome = read(found, schema=schema)

    assert isinstance(outcome, Unusable)
    assert problem in outcome.problem


def test_what_no_database_keeps_is_taken_out_of_json() -> None:
    found = read(completion('{"a\\u0000": ["b\\ud83d"]}'), schema={})

    assert isinstance(found, Read)
    assert found.data == {"a": ["b?"]}


def test_a_repair_shows_the_answer_and_what_is_wrong_with_it() -> None:
    asked = Conversation(ChatRequest((Message("user", "Plan."),), 10, SCHEMA))

    repaired = asked.repair(answer="{}", problem="No summary.")

    assert [each.role for each in repaired.request.messages] == ["user", "assistant", "user"]
    assert "No summary." in repaired.request.messages[-1].content


def test_models_that_enforce_no_schema_are_told_it_in_words() -> None:
    asked = Conversation(ChatRequest((Message("system", "Be brief."), Message("user", "Plan.")), 10, SCHEMA))

    body = asked.in_plain_json().request.body(model="gpt-4-turbo", named="gpt-4-turbo")

    assert body["response_format"] == {"type": "json_object"}
    assert json.dumps(SCHEMA) in body["messages"][0]["content"]
