import time
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.sandbox.providers import BRIEF, azure_client, both_clients, openai_client


def put_rules(url: str, *rules: dict[str, Any]) -> None:
    httpx2.put(f"{url}/faults", json={"rules": list(rules)}).raise_for_status()


def usage(url: str) -> Any:
    return httpx2.get(f"{url}/usage").json()


def ask(client: OpenAI, **changes: Any) -> Any:
    return client.chat.completions.create(**{"model": "gpt-4o", "messages": BRIEF, **changes})


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_errors_on_request_are_what_the_client_knows(ai: str, status: int, error: type[Exception]) -> None:
    put_rules(ai, {"error_rates": {str(status): 1}})

    for client in both_clients(ai):
        with pytest.raises(error):
            ask(client)


def test_a_429_says_when_to_come_back(ai: str) -> None:
    put_rules(ai, {"error_rates": {"429": 1}, "retry_after": 3})

    with pytest.raises(openai.RateLimitError) as caught:
        ask(openai_client(ai))

    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.code == "rate_limit_exceeded"


def test_faults_can_strike_one_provider_or_model(ai: str) -> None:
    put_rules(
        ai, {"provider": "azure", "error_rates": {"500": 1}}, {"model": "gpt-4", "error_rates": {"503": 1}}
    )

    with pytest.raises(openai.InternalServerError):
        ask(azure_client(ai))
    with pytest.raises(openai.InternalServerError):
        ask(openai_client(ai), model="gpt-4")
    assert ask(openai_client(ai)).choices


@pytest.mark.parametrize("effect", ["cut_before", "cut_after"])
def test_a_cut_connection_is_a_connection_error(ai: str, effect: str) -> None:
    put_rules(ai, {effect: 1})

    with pytest.raises(openai.APIConnectionError):
        ask(openai_client(ai))

    totals = usage(ai)["openai"]["gpt-4o"]
    assert totals["requests"] == 1
    assert (totals["answered"] == 1, totals["completion_tokens"] > 0) == (effect == "cut_after",) * 2


def test_a_hung_request_times_out(ai: str) -> None:
    put_rules(ai, {"hang": 1})

    with pytest.raises(openai.APITimeoutError):
        ask(openai_client(ai, timeout=0.2))

    assert usage(ai)["openai"]["gpt-4o"]["answered"] == 0


def test_a_malformed_answer_is_no_json(ai: str) -> None:
    put_rules(ai, {"malformed": 1})

    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        ask(openai_client(ai))


def test_latency_delays_an_answer(ai: str) -> None:
    put_rules(ai, {"latency": {"distribution": "constant", "ms": 150}})

    started = time.monotonic()
    ask(openai_client(ai))

    assert time.monotonic() - started >= 0.15


def test_azure_filters_a_prompt_in_its_own_shape(ai: str) -> None:
    put_rules(ai, {"content_filter": 1})

    with pytest.raises(openai.BadRequestError) as caught:
        ask(azure_client(ai))

    assert caught.value.code == "content_filter"
    body: Any = caught.value.body
    assert body["innererror"]["code"] == "ResponsibleAIPolicyViolation"


def test_openai_filters_an_answer_by_its_finish_reason(ai: str) -> None:
    put_rules(ai, {"content_filter": 1})

    choice = ask(openai_client(ai)).choices[0]

    assert (choice.finish_reason, choice.message.content) == ("content_filter", "")


def test_a_stream_can_be_cut_in_its_middle(ai: str) -> None:
    put_rules(ai, {"cut_after": 1})
    received: list[Any] = []

    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError, openai.APIConnectionError)):
        received.extend(chunk for chunk in ask(openai_client(ai), stream=True))

    assert usage(ai)["openai"]["gpt-4o"]["answered"] == 1


def test_a_stream_can_hold_a_malformed_event(ai: str) -> None:
    put_rules(ai, {"malformed": 1})

    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        list(ask(openai_client(ai), stream=True))


def test_a_stream_can_be_slow(ai: str) -> None:
    put_rules(ai, {"stream_gap_ms": 20})

    started = time.monotonic()
    chunks = list(ask(openai_client(ai), stream=True, max_tokens=8))

    assert time.monotonic() - started >= 0.02 * len(chunks)


def test_an_embedding_meets_faults_too(ai: str) -> None:
    put_rules(ai, {"model": "text-embedding-3-small", "error_rates": {"500": 1}})

    with pytest.raises(openai.InternalServerError):
        openai_client(ai).embeddings.create(model="text-embedding-3-small", input="x")


def test_usage_is_counted_by_provider_and_model(ai: str) -> None:
    completions = [ask(client) for client in both_clients(ai)]
    put_rules(ai, {"error_rates": {"500": 1}, "count": 1})
    with pytest.raises(openai.InternalServerError):
        ask(openai_client(ai))

    report = usage(ai)

    for provider, completion, requests in (("openai", completions[0], 2), ("azure", completions[1], 1)):
        assert report[provider]["gpt-4o"] == {
            "requests": requests,
            "answered": 1,
            "prompt_tokens": completion.usage.prompt_tokens,
            "cached_tokens": 0,
            "completion_tokens": completion.usage.completion_tokens,
        }
    httpx2.post(f"{ai}/reset")
    assert usage(ai) == {"openai": {}, "azure": {}}
