import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Delta, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, Message, size, streamed
from apps.common.punctual import limits
from tests.ai.scripted import ScriptedProvider, scripted_provider
from tests.conftest import Sandbox

BOTH = pytest.mark.parametrize("provider", ["openai", "azure"])
BODY = ChatRequest((Message("user", "Say hello to a fan of lakes."),), max_tokens=200).body(
    model="gpt-4o", named="gpt-4o"
)
LONG = timedelta(seconds=20)
COUNTED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


@pytest.fixture
def script(settings: Any) -> Iterator[ScriptedProvider]:
    with scripted_provider(settings) as provider:
        yield provider


def stream(provider: str = "openai") -> Iterator[Delta | Outcome]:
    return PROVIDERS[provider].stream(BODY, timeout=LONG)


def heard(provider: str = "openai") -> tuple[list[str], Outcome]:
    """The texts of the pieces, and the outcome, which is the only one and the last."""
    *deltas, outcome = stream(provider)
    assert not isinstance(outcome, Delta)
    texts = [each.text for each in deltas if isinstance(each, Delta)]
    assert len(texts) == len(deltas)
    assert all(texts)
    return texts, outcome


def chunk(**changes: Any) -> bytes:
    choice = {"index": 0, "finish_reason": None, "delta": {"content": "Hello"}}
    head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return json.dumps({**head, "choices": [choice], **changes}).encode()


def piece(**changes: Any) -> bytes:
    return chunk(choices=[{"index": 0, "finish_reason": None, "delta": {}, **changes}])


STOP = piece(finish_reason="stop")
USAGE = chunk(choices=[], usage=COUNTED)
END = b"[DONE]"


@BOTH
def test_an_answer_in_pieces_is_the_answer_in_whole(ai_sandbox: Sandbox, provider: str) -> None:
    whole = PROVIDERS[provider].complete(BODY, timeout=LONG)

    texts, outcome = heard(provider)

    assert outcome == whole
    assert isinstance(outcome, Completion)
    assert outcome.usage is not None
    assert len(texts) > 1
    assert "".join(texts) == outcome.text


@given(
    timeout=st.timedeltas(timedelta(milliseconds=1), timedelta(minutes=5)),
    idle=st.none() | st.timedeltas(timedelta(milliseconds=1), timedelta(minutes=5)),
)
def test_no_wait_is_longer_than_the_whole(timeout: timedelta, idle: timedelta | None) -> None:
    found = limits(timeout, idle)

    assert found.read == min(timeout, idle or timeout).total_seconds()
    assert found.connect == min(timeout, timedelta(seconds=5)).total_seconds()
    assert found.pool == found.write == timeout.total_seconds()


@BOTH
def test_pieces_come_before_the_answer_is_complete(ai_sandbox: Sandbox, provider: str) -> None:
    ai_sandbox.faults(rules=[{"stall": 1}])

    first = next(stream(provider))

    assert isinstance(first, Delta)


def test_whoever_stops_listening_hangs_up(script: ScriptedProvider) -> None:
    script.streams(chunk(), missing=50, holds_on=True)
    pieces = stream()
    next(pieces)

    pieces.close()  # type: ignore[attr-defined]  # a generator, to those who end one early

    assert script.was_left.wait(10)


def test_what_a_stream_is_billed_for_includes_how_it_is_asked_for(script: ScriptedProvider) -> None:
    script.streams(chunk(), STOP, USAGE, END)

    heard()

    assert script.asked == [streamed(BODY)]
    assert script.asked[0]["stream_options"] == {"include_usage": True}
    assert size(streamed(BODY)) > size(BODY)


def test_a_whole_answer_whose_usage_was_lost_is_an_answer(script: ScriptedProvider) -> None:
    for missing, events in ((0, (chunk(), STOP, END)), (0, (chunk(), STOP)), (50, (chunk(), STOP))):
        script.streams(*events, missing=missing)

        texts, outcome = heard()

        assert texts == ["Hello"]
        assert isinstance(outcome, Completion)
        assert (outcome.text, outcome.usage, outcome.finish_reason) == ("Hello", None, "stop")


def test_an_answer_that_was_cut_short_by_its_limit_says_so(script: ScriptedProvider) -> None:
    script.streams(chunk(), piece(finish_reason="length"), USAGE, END)

    _, outcome = heard()

    assert isinstance(outcome, Completion)
    assert outcome.finish_reason == "length"


def test_a_refusal_is_no_answer(script: ScriptedProvider) -> None:
    script.streams(piece(delta={"refusal": "I "}), piece(delta={"refusal": "can't"}), STOP, USAGE, END)

    texts, outcome = heard()

    assert texts == []
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.message) == (FailureKind.CONTENT_FILTERED, "I can't")
    assert (outcome.maybe_billed, outcome.usage is None) == (False, False)


def test_text_in_any_script_and_with_line_breaks_stays_whole(script: ScriptedProvider) -> None:
    said = ["Zürich\n", "日本語 🏔\r\n", "\ud83d", "a\0b", "data: x\n\n"]
    script.streams(*(piece(delta={"content": each}) for each in said), STOP, USAGE, END)

    texts, outcome = heard()

    assert isinstance(outcome, Completion)
    assert outcome.text == "Zürich\n日本語 🏔\r\n?abdata: x\n\n" == "".join(texts)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("content_filter", FailureKind.CONTENT_FILTERED),
        ("rate_limit_exceeded", FailureKind.RATE_LIMITED),
        ("context_length_exceeded", FailureKind.CONTEXT_TOO_LONG),
        ("insufficient_quota", FailureKind.AUTH),
        ("server_error", FailureKind.SERVER_ERROR),
        (None, FailureKind.SERVER_ERROR),
    ],
)
def test_an_error_that_comes_as_an_event_has_its_kind(
    script: ScriptedProvider, code: str | None, kind: FailureKind
) -> None:
    error = {"error": {"message": "It went wrong", "code": code, "type": "x", "param": None}}
    script.streams(chunk(), json.dumps(error).encode())

    _, outcome = heard()

    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.maybe_billed, outcome.partial) == (kind, True, "Hello")
    assert outcome.message == "It went wrong"


def test_a_whole_document_in_the_place_of_a_stream_is_malformed(script: ScriptedProvider) -> None:
    script.says({"choices": []})

    texts, outcome = heard()

    assert isinstance(outcome, Failure)
    assert (texts, outcome.kind, outcome.maybe_billed) == ([], FailureKind.MALFORMED, True)


ODD = [None, 5, 3.5, True, "x", "\ud83d\0", [], [1], {}, {"a": 1}, 2**40]


@pytest.mark.parametrize("value", ODD)
def test_whatever_json_a_provider_streams_is_read_as_something(script: ScriptedProvider, value: Any) -> None:
    for event in (
        json.dumps(value).encode(),
        chunk(choices=value),
        chunk(choices=[value]),
        piece(delta=value),
        piece(delta={"content": value}),
        piece(delta={"refusal": value}),
        piece(finish_reason=value),
        chunk(model=value),
        chunk(usage=value),
        chunk(usage={"prompt_tokens": value, "completion_tokens": 2}),
        chunk(usage={"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": value}),
        json.dumps({"error": value}).encode(),
    ):
        script.streams(chunk(), event, STOP, END)

        texts, outcome = heard()

        whole = outcome.partial if isinstance(outcome, Failure) else outcome.text
        assert "".join(texts) == whole
        assert whole.startswith("Hello")
        whole.encode()


def refusal(body: bytes, *head: bytes) -> bytes:
    lines = (b"HTTP/1.1 503 Down", b"Content-Type: application/json", b"Content-Length: 500", *head)
    return b"\r\n".join((*lines, b"", body))


@pytest.mark.parametrize(
    ("says", "hangs", "kind"),
    [
        pytest.param(refusal(b"{"), False, FailureKind.CONNECTION, id="cut"),
        pytest.param(refusal(b"{"), True, FailureKind.TIMEOUT, id="hanging"),
        pytest.param(
            refusal(b"x" * 500, b"Content-Encoding: gzip"),
            True,
            FailureKind.CONNECTION,
            id="in no gzip",
        ),
    ],
)
def test_a_stream_that_is_refused_in_broken_words_fails_as_a_call_does(
    script: ScriptedProvider, says: bytes, hangs: bool, kind: FailureKind
) -> None:
    script.trickles((0, says), holds_on=hangs)
    timeout = timedelta(seconds=0.3) if kind is FailureKind.TIMEOUT else LONG

    whole = PROVIDERS["openai"].complete(BODY, timeout=timeout)
    [outcome] = PROVIDERS["openai"].stream(BODY, timeout=timeout)

    for failure in (whole, outcome):
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.maybe_billed) == (kind, True)


@pytest.mark.parametrize(
    "error", [{"param": 7, "message": "No."}, {"code": ["x"], "message": "No."}, {"code": {}, "param": {}}]
)
def test_whatever_a_provider_puts_into_an_error_it_is_one(script: ScriptedProvider, error: Any) -> None:
    body = json.dumps({"error": error}).encode()
    head = b"HTTP/1.1 400 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    head += b"Connection: close\r\n\r\n"  # or the next call would be put to one that is being closed
    script.trickles((0, head + body), holds_on=False)

    whole = PROVIDERS["openai"].complete(BODY, timeout=LONG)
    [outcome] = stream()

    for failure in (whole, outcome):
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.BAD_REQUEST


def test_an_answer_that_is_nested_too_deeply_is_none(script: ScriptedProvider) -> None:
    deep = b"[" * 200_000
    script.streams(deep)
    [outcome] = stream()
    script.body, script.content_type, script.length = deep, "application/json", len(deep)

    for failure in (PROVIDERS["openai"].complete(BODY, timeout=LONG), outcome):
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.MALFORMED
