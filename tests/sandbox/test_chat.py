"""Chat completions, as the real client sees them."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.http_client import http
from tests.sandbox.providers import BRIEF, azure_client, both_clients, openai_client

DEPLOYMENT = "/azure/openai/deployments/gpt-4o"


def ask(client: OpenAI, **changes: Any) -> Any:
    return client.chat.completions.create(**{"model": "gpt-4o", "messages": BRIEF, **changes})


def text_of(client: OpenAI, **changes: Any) -> str:
    return str(ask(client, **changes).choices[0].message.content)


def test_both_providers_answer_in_the_words_of_the_prompt(ai: str) -> None:
    for client in both_clients(ai):
        completion = ask(client)

        [choice] = completion.choices
        assert choice.finish_reason == "stop"
        assert choice.message.content.count("{{ fan.name }}") == 1
        assert "{{offer.price}}" in choice.message.content
        assert any(word in choice.message.content for word in ("pottery", "evenings", "garden", "studio"))
        assert completion._request_id.startswith("req_")


def test_facts_about_a_fan_stay_out_of_the_text(ai: str) -> None:
    prompt = "You may use {{ fan.name }}, {{ fan.spend }} and {{ account.name }}. Write about sailing."

    text = text_of(openai_client(ai), messages=[{"role": "user", "content": prompt}])

    assert "{{ fan.name }}" in text
    assert text.endswith("Yours, {{ account.name }}")
    assert "{{ fan.spend }}" not in text


def test_a_prompt_without_a_usable_word_is_answered_all_the_same(ai: str) -> None:
    assert len(text_of(openai_client(ai), messages=[{"role": "user", "content": "?"}])) > 20


def test_the_same_request_gets_the_same_text_and_another_one_another(ai: str) -> None:
    client = openai_client(ai)

    assert text_of(client) == text_of(client)
    assert text_of(client) == text_of(client, user="someone", n=1)
    texts = {text_of(client, seed=seed) for seed in range(8)}
    assert len(texts) > 1


def test_n_gives_that_many_answers(ai: str) -> None:
    choices = ask(openai_client(ai), n=4).choices

    assert [choice.index for choice in choices] == [0, 1, 2, 3]
    assert len({choice.message.content for choice in choices}) > 1


def test_usage_adds_up_and_the_prompt_never_exceeds_its_bytes(ai: str) -> None:
    usage = ask(openai_client(ai), n=2).usage

    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.prompt_tokens < sum(len(message["content"]) for message in BRIEF)
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_the_beginning_of_a_long_prompt_is_cached_the_second_time(ai: str) -> None:
    client = openai_client(ai)
    long = {"role": "system", "content": f"{ai} " + "a long instruction " * 400}

    first = ask(client, messages=[long, {"role": "user", "content": "one"}]).usage
    second = ask(client, messages=[long, {"role": "user", "content": "two"}]).usage

    assert first.prompt_tokens_details.cached_tokens == 0
    assert second.prompt_tokens_details.cached_tokens == 1024


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_keeps_to_its_limit(ai: str, name: str) -> None:
    whole = text_of(openai_client(ai))

    completion = ask(openai_client(ai), **{name: 5})

    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 5
    assert len(whole) > len(completion.choices[0].message.content) > 0


def test_an_answer_ends_before_a_stop_sequence(ai: str) -> None:
    assert "." not in text_of(openai_client(ai), stop=["."])


def test_content_may_come_in_parts(ai: str) -> None:
    parts = [
        {"type": "text", "text": "Tell about lanterns"},
        {"type": "text", "text": "and lakeside picnics"},
    ]

    text = text_of(openai_client(ai), messages=[{"role": "user", "content": parts}])

    assert any(word in text for word in ("lanterns", "lakeside", "picnics"))


def test_a_stream_carries_the_same_text_and_its_usage(ai: str) -> None:
    for client in both_clients(ai):
        whole = ask(client)

        chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))

        texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(texts) == whole.choices[0].message.content
        assert chunks[-1].choices == []
        assert chunks[-1].usage == whole.usage
        assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_a_stream_says_nothing_of_usage_unless_asked(ai: str) -> None:
    chunks = list(ask(openai_client(ai), stream=True))

    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_stream_of_azure_begins_without_choices(ai: str) -> None:
    first = next(iter(ask(azure_client(ai), stream=True)))

    assert first.choices == []
    assert first.prompt_filter_results[0]["content_filter_results"]["hate"]["filtered"] is False


def test_a_required_tool_is_called_with_arguments_that_fit(ai: str) -> None:
    parameters = {"type": "object", "required": ["city"], "properties": {"city": {"enum": ["Graz", "Linz"]}}}
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": parameters}}]
    client = openai_client(ai)

    choice = ask(client, tools=tools, tool_choice="required").choices[0]
    streamed = list(ask(client, tools=tools, tool_choice="required", stream=True))

    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    [call] = choice.message.tool_calls
    assert call.function.name == "look_up"
    assert call.function.arguments in ('{"city": "Graz"}', '{"city": "Linz"}')
    parts = [chunk.choices[0].delta.tool_calls[0] for chunk in streamed[:-1]]
    assert parts[0].id == call.id
    assert "".join(part.function.arguments for part in parts) == call.function.arguments


def test_a_named_tool_is_called_and_an_optional_one_is_not(ai: str) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("one", "two")]
    client = openai_client(ai)

    named = ask(client, tools=tools, tool_choice={"type": "function", "function": {"name": "two"}})

    assert named.choices[0].message.tool_calls[0].function.name == "two"
    assert ask(client, tools=tools).choices[0].message.tool_calls is None


def test_a_request_without_a_key_is_refused(ai: str) -> None:
    openai_answer = http.post(f"{ai}/openai/v1/chat/completions", json={})
    azure_answer = http.post(f"{ai}{DEPLOYMENT}/chat/completions?api-version=2024-10-21", json={})

    assert (openai_answer.status_code, azure_answer.status_code) == (401, 401)
    assert openai_answer.json()["error"]["type"] == "invalid_request_error"
    assert azure_answer.json()["error"]["code"] == "401"
    assert http.get(f"{ai}/openai/v1/models").status_code == 401


def test_azure_takes_a_key_or_a_token(ai: str) -> None:
    assert ask(azure_client(ai, api_key=None, azure_ad_token="token")).choices


def test_an_unknown_model_is_not_found(ai: str) -> None:
    with pytest.raises(openai.NotFoundError) as unknown_model:
        ask(openai_client(ai), model="gpt-9")
    with pytest.raises(openai.NotFoundError) as unknown_deployment:
        ask(azure_client(ai), model="nothing")

    assert unknown_model.value.code == "model_not_found"
    assert unknown_deployment.value.code == "DeploymentNotFound"


def test_snapshots_and_named_deployments_are_known(ai: str) -> None:
    assert ask(openai_client(ai), model="gpt-4o-2024-08-06").model == "gpt-4o-2024-08-06"
    assert ask(azure_client(ai), model="gpt-4o-eu").model == "gpt-4o"
    assert "gpt-4o" in {model.id for model in openai_client(ai).models.list()}
    with pytest.raises(openai.NotFoundError):
        ask(openai_client(ai), model="gpt-4o-eu")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content"),
        ({"temperature": 3}, "temperature"),
        ({"n": 0}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"model": "o4-mini", "max_tokens": 5}, "max_tokens"),
        ({"model": ""}, "model"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format"),
        ({"tools": [{"type": "function"}]}, "tools"),
    ],
)
def test_a_bad_body_is_refused_and_its_parameter_named(ai: str, changes: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(openai_client(ai), **changes)

    assert caught.value.param == param


def test_a_body_that_is_no_object_is_refused(ai: str) -> None:
    with pytest.raises(openai.BadRequestError, match="could not parse"):
        openai_client(ai).post("/chat/completions", cast_to=object, body=[1])


def test_azure_needs_an_api_version(ai: str) -> None:
    answer = http.post(f"{ai}{DEPLOYMENT}/chat/completions", json={}, headers={"api-key": "key"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Resource not found")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "gpt-4", "messages": [{"role": "user", "content": "word " * 8000}]},
        {"model": "gpt-4", "max_tokens": 8192},
    ],
)
def test_a_context_that_is_too_long_has_a_code_of_its_own(ai: str, changes: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(openai_client(ai), **changes)

    assert caught.value.code == "context_length_exceeded"
