import time
from collections.abc import Iterable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.http_client import http
from tests.sandbox.providers import BRIEF, azure_client, both_clients, openai_client


def put_rules(url: str, *rules: dict[str, Any]) -> None:
    http.put(f"{url}/faults", json={"rules": list(rules)}).raise_for_status()


def usage(url: str) -> Any:
    return http.get(f"{url}/usage").json()


def texts(chunks: Iterable[Any]) -> list[str]:
    """The pieces of text in a stream."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return [choice.delta.content for choice in choices if choice.delta and choice.delta.content]


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


def test_a_429_can_say_it_in_other_forms_or_not_at_all(ai: str) -> None:
    def headers(**form: Any) -> Any:
        put_rules(ai, {"error_rates": {"429": 1}, **form})
        with pytest.raises(openai.RateLimitError) as caught:
            ask(openai_client(ai))
        return caught.value.response.headers

    exact = headers(retry_after_ms=1250)
    assert (exact["retry-after-ms"], exact["retry-after"]) == ("1250", "2")
    date = headers(retry_after=3600, retry_after_form="date")["retry-after"]
    assert timedelta() < parsedate_to_datetime(date) - datetime.now(UTC) <= timedelta(hours=1)
    assert "retry-after" not in headers(retry_after=3, retry_after_form="none")


@pytest.mark.parametrize(
    ("effect", "error", "code"),
    [
        ("quota", openai.RateLimitError, "insufficient_quota"),
        ("context_length", openai.BadRequestError, "context_length_exceeded"),
        ("no_format", openai.BadRequestError, None),
        ("error_event", openai.InternalServerError, "500"),
    ],
)
def test_refusals_that_have_names_of_their_own(
    ai: str, effect: str, error: type[openai.APIStatusError], code: str | None
) -> None:
    put_rules(ai, {effect: 1})

    for client in both_clients(ai):
        with pytest.raises(error) as caught:
            ask(client)
        assert caught.value.code == code
    assert [each["gpt-4o"]["answered"] for each in usage(ai).values()] == [0, 0]


def test_faults_can_strike_one_provider_or_model(ai: str) -> None:
    put_rules(
        ai, {"provider": "azure", "error_rates": {"500": 1}}, {"model": "gpt-4", "error_rates": {"503": 1}}
    )

    with pytest.raises(openai.InternalServerError):
        ask(azure_client(ai))
    with pytest.raises(openai.InternalServerError):
        ask(openai_client(ai), model="gpt-4")
    assert ask(openai_client(ai)).choices


@pytest.mark.parametrize(
    ("effect", "billed"), [("cut_before", False), ("reset", False), ("cut_after", True), ("cut_within", True)]
)
def test_a_cut_connection_is_a_connection_error(ai: str, effect: str, billed: bool) -> None:
    put_rules(ai, {effect: 1})

    with pytest.raises(openai.APIConnectionError) as caught:
        ask(openai_client(ai))

    totals = usage(ai)["openai"]["gpt-4o"]
    assert totals["requests"] == 1
    assert (totals["answered"] == 1, totals["completion_tokens"] > 0) == (billed, billed)
    assert ("reset by peer" in str(caught.value.__cause__)) is (effect == "reset")


def test_a_hung_request_times_out(ai: str) -> None:
    put_rules(ai, {"hang": 1})

    with pytest.raises(openai.APITimeoutError):
        ask(openai_client(ai, timeout=0.2))

    assert usage(ai)["openai"]["gpt-4o"]["answered"] == 0


def test_an_answer_that_stalls_within_times_out(ai: str) -> None:
    put_rules(ai, {"stall": 1})

    with pytest.raises(openai.APITimeoutError):
        ask(openai_client(ai, timeout=0.5))

    assert usage(ai)["openai"]["gpt-4o"]["answered"] == 1


def test_an_answer_that_trickles_is_the_same_answer(ai: str) -> None:
    whole = ask(openai_client(ai)).choices
    put_rules(ai, {"trickle": 1, "stream_gap_ms": 1})

    assert ask(openai_client(ai)).choices == whole
    assert "".join(texts(ask(openai_client(ai), stream=True))) == whole[0].message.content


def test_answers_can_lack_choices_or_usage(ai: str) -> None:
    for client in both_clients(ai):
        put_rules(ai, {"no_choices": 1})
        assert ask(client).choices == []
        assert texts(ask(client, stream=True)) == []

        put_rules(ai, {"no_usage": 1})
        assert ask(client).usage is None
        counted = ask(client, stream=True, stream_options={"include_usage": True})
        assert [chunk.usage for chunk in counted if chunk.usage] == []
    assert usage(ai)["openai"]["gpt-4o"]["answered"] == 4


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


def test_a_filter_can_stop_an_answer_half_way(ai: str) -> None:
    wholes = [ask(client).choices[0].message.content for client in both_clients(ai)]
    put_rules(ai, {"answer_filter": 1})

    for client, whole in zip(both_clients(ai), wholes, strict=True):
        choice = ask(client).choices[0]
        chunks = list(ask(client, stream=True))

        assert choice.finish_reason == "content_filter"
        assert whole.startswith(choice.message.content)
        assert "".join(texts(chunks)) == choice.message.content
        assert chunks[-1].choices[0].finish_reason == "content_filter"
    azure = chunks[-1].choices[0]
    assert azure.delta is None
    assert azure.content_filter_results["sexual"]["filtered"] is True


def test_a_stream_can_say_in_its_course_what_went_wrong(ai: str) -> None:
    put_rules(ai, {"error_event": 1})
    received: list[Any] = []

    with pytest.raises(openai.APIError, match="had an error"):
        received.extend(texts(ask(openai_client(ai), stream=True)))


@pytest.mark.parametrize("effect", ["ends_early", "stall"])
def test_a_stream_can_leave_out_its_second_half(ai: str, effect: str) -> None:
    put_rules(ai, {effect: 1})
    chunks = ask(openai_client(ai, timeout=1), stream=True)
    received: list[Any] = []

    with pytest.raises(openai.APITimeoutError) if effect == "stall" else nullcontext():
        received.extend(chunk for chunk in chunks)
    assert all(chunk.choices[0].finish_reason is None for chunk in received)


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
    http.post(f"{ai}/reset")
    assert usage(ai) == {"openai": {}, "azure": {}}
