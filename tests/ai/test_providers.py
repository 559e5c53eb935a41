from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from apps.ai import answers
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, Message
from tests.ai.scripted import scripted_provider
from tests.conftest import Sandbox

BOTH = pytest.mark.parametrize("provider", ["openai", "azure"])
HELLO = ChatRequest(messages=(Message("user", "Say hello to a fan of lakes."),), max_tokens=200)


def call(
    provider: str, *, timeout: float = 5, request: ChatRequest = HELLO, model: str = "gpt-4o"
) -> Outcome:
    body = request.body(model=model, named=model)
    return PROVIDERS[provider].complete(body, timeout=timedelta(seconds=timeout))


def failure(outcome: Outcome) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


@BOTH
def test_an_answer_comes_with_its_usage(ai_sandbox: Sandbox, provider: str) -> None:
    outcome = call(provider)

    assert isinstance(outcome, Completion)
    assert outcome.text
    assert (outcome.model, outcome.finish_reason) == ("gpt-4o", "stop")
    assert outcome.usage is not None
    assert outcome.usage.input_tokens > 0
    assert outcome.usage.output_tokens > 0


@pytest.fixture
def says(settings: Any) -> Iterator[Callable[[Any], None]]:
    """A provider that answers 200 with whatever it is told to."""
    with scripted_provider(settings) as provider:
        yield provider.says


def answer(**changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hello"}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        **changes,
    }


ODD = [None, 5, 3.5, True, "x", "\ud83d\0", [], [1], {}, {"a": 1}, 2**40]


@pytest.mark.parametrize("value", ODD)
def test_whatever_json_a_provider_sends_is_read_as_something(says: Callable[[Any], None], value: Any) -> None:
    for changed in (
        value,
        answer(choices=value),
        answer(choices=[value]),
        answer(choices=[{"index": 0, "finish_reason": "stop", "message": value}]),
        answer(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": value}}]),
        answer(choices=[{"index": 0, "finish_reason": value, "message": {"refusal": value}}]),
        answer(model=value),
        answer(usage=value),
        answer(usage={"prompt_tokens": value, "completion_tokens": 2}),
        answer(usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": value}),
    ):
        says(changed)
        outcome = call("openai")
        if isinstance(outcome, Completion):
            answers.read(outcome, schema=None)
            assert len(outcome.model) <= 100
            outcome.text.encode()


def test_more_tokens_than_can_be_are_an_unknown_usage(says: Callable[[Any], None]) -> None:
    says(answer(usage={"prompt_tokens": 2**31, "completion_tokens": 2}))
    outcome = call("openai")
    assert isinstance(outcome, Completion)
    assert outcome.usage is None


@BOTH
def test_a_prompt_that_is_too_long_is_told_apart(ai_sandbox: Sandbox, provider: str) -> None:
    request = ChatRequest(messages=(Message("user", "word " * 9000),), max_tokens=10)

    assert failure(call(provider, request=request, model="gpt-4")).kind is FailureKind.CONTEXT_TOO_LONG


@BOTH
def test_a_model_that_does_not_exist_is_a_bad_request(ai_sandbox: Sandbox, provider: str) -> None:
    assert failure(call(provider, model="no-such-model")).kind is FailureKind.BAD_REQUEST


def test_a_refused_schema_is_told_apart(ai_sandbox: Sandbox) -> None:
    request = ChatRequest(
        HELLO.messages, 100, schema={"type": "object", "properties": {"a": {"type": "string"}}}
    )

    assert failure(call("openai", request=request)).kind is FailureKind.UNSUPPORTED_FORMAT


def test_reasoning_models_get_the_limit_under_the_name_they_know(ai_sandbox: Sandbox) -> None:
    assert isinstance(call("openai", model="gpt-5-mini"), Completion)
    assert "max_tokens" in HELLO.body(model="gpt-4o", named="gpt-4o")


@BOTH
def test_a_provider_without_a_key_says_so(settings: Any, provider: str) -> None:
    settings.OPENAI_API_KEY = settings.AZURE_OPENAI_API_KEY = ""

    assert "API_KEY" in (PROVIDERS[provider].missing() or "")
