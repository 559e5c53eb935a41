"""What each fault of a provider comes to: through the real client, over real HTTP, at both providers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Delta, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest, Message
from tests.conftest import Sandbox

BOTH = pytest.mark.parametrize("provider", ["openai", "azure"])
CHAT = ChatRequest((Message("user", "Say hello to a fan of lakes."),), max_tokens=200).body(
    model="gpt-4o", named="gpt-4o"
)
EMBEDDING = EmbeddingRequest(("evening light", "morning light")).body(
    model="text-embedding-3-small", named="text-embedding-3-small"
)
LONG = timedelta(seconds=20)
SHORT = timedelta(seconds=0.3)


@dataclass(frozen=True)
class Case:
    """A fault, and what is to be known of the call that met it."""

    fault: Mapping[str, Any]
    kind: FailureKind
    maybe_billed: bool = False
    retry_after: timedelta | None = None
    usage: bool = False

    def at(self, provider: str) -> "Case":
        """OpenAI filters a prompt by answering it with nothing, which it bills; Azure refuses it."""
        return replace(self, usage=True) if self is FILTERED_PROMPT and provider == "openai" else self

    def check(self, outcome: object) -> Failure:
        assert isinstance(outcome, Failure), outcome
        assert (outcome.kind, outcome.maybe_billed, outcome.retry_after, outcome.usage is not None) == (
            self.kind,
            self.maybe_billed,
            self.retry_after,
            self.usage,
        )
        assert outcome.message
        return outcome

    @property
    def timeout(self) -> timedelta:
        return SHORT if self.kind is FailureKind.TIMEOUT and "error_rates" not in self.fault else LONG


def status(number: int, **more: Any) -> dict[str, Any]:
    return {"error_rates": {str(number): 1}, **more}


def latency(milliseconds: int) -> dict[str, Any]:
    return {"distribution": "constant", "ms": milliseconds}


SECOND = timedelta(seconds=1)
# The provider says no, or nothing: no matter how its answer was asked for.
NO_ANSWER = {
    "429 with seconds": Case(status(429, retry_after=7), FailureKind.RATE_LIMITED, retry_after=7 * SECOND),
    "429 with milliseconds": Case(
        status(429, retry_after_ms=1250), FailureKind.RATE_LIMITED, retry_after=1.25 * SECOND
    ),
    "429 with no time at all": Case(
        status(429, retry_after=0), FailureKind.RATE_LIMITED, retry_after=timedelta()
    ),
    "429 with nothing": Case(status(429, retry_after_form="none"), FailureKind.RATE_LIMITED),
    "429 for want of credit": Case({"quota": 1}, FailureKind.AUTH),
    "500": Case(status(500), FailureKind.SERVER_ERROR),
    "502": Case(status(502), FailureKind.SERVER_ERROR, maybe_billed=True),
    "503": Case(status(503), FailureKind.SERVER_ERROR),
    "503 with seconds": Case(status(503, retry_after=3), FailureKind.SERVER_ERROR, retry_after=3 * SECOND),
    "504": Case(status(504), FailureKind.SERVER_ERROR, maybe_billed=True),
    "408": Case(status(408), FailureKind.TIMEOUT, maybe_billed=True),
    "401": Case(status(401), FailureKind.AUTH),
    "403": Case(status(403), FailureKind.FORBIDDEN),
    "404, as for a deployment that isn't there": Case(status(404), FailureKind.BAD_REQUEST),
    "400": Case(status(400), FailureKind.BAD_REQUEST),
    "422": Case(status(422), FailureKind.BAD_REQUEST),
    "context too long": Case({"context_length": 1}, FailureKind.CONTEXT_TOO_LONG),
    "format not supported": Case({"no_format": 1}, FailureKind.UNSUPPORTED_FORMAT),
    "connection reset": Case({"reset": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "connection dropped": Case({"cut_before": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "no answer ever": Case({"hang": 1}, FailureKind.TIMEOUT, maybe_billed=True),
    "an answer that comes too late": Case(
        {"latency": latency(5_000)}, FailureKind.TIMEOUT, maybe_billed=True
    ),
}
EMPTY = Case({"no_choices": 1}, FailureKind.MALFORMED, usage=True)
FILTERED_PROMPT = Case({"content_filter": 1}, FailureKind.CONTENT_FILTERED)
# The provider answers, and the answer is lost or good for nothing.
BAD_ANSWER = {
    "dropped before its first byte": Case({"cut_after": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "dropped within": Case({"cut_within": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "stalled within": Case({"stall": 1}, FailureKind.TIMEOUT, maybe_billed=True),
    "too slow in coming": Case({"trickle": 1, "stream_gap_ms": 50}, FailureKind.TIMEOUT, maybe_billed=True),
    "broken JSON": Case({"malformed": 1}, FailureKind.MALFORMED, maybe_billed=True),
    "empty": EMPTY,
}
FILTERED = {
    "the prompt was filtered": FILTERED_PROMPT,
    "the answer was filtered": Case({"answer_filter": 1}, FailureKind.CONTENT_FILTERED, usage=True),
}
# The same, in the course of a stream.
BROKEN_STREAM = {
    "dropped between events": Case({"cut_after": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "dropped within an event": Case({"cut_within": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "ended as if that were all": Case({"ends_early": 1}, FailureKind.CONNECTION, maybe_billed=True),
    "a broken event": Case({"malformed": 1}, FailureKind.MALFORMED, maybe_billed=True),
    "stalled": Case({"stall": 1}, FailureKind.TIMEOUT, maybe_billed=True),
    "an event that says what went wrong": Case(
        {"error_event": 1}, FailureKind.SERVER_ERROR, maybe_billed=True
    ),
    "stopped by the filter": Case({"answer_filter": 1}, FailureKind.CONTENT_FILTERED, usage=True),
}


def table(cases: Mapping[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in cases.items()])


def streamed(
    provider: str, *, timeout: timedelta = LONG, idle_timeout: timedelta | None = None
) -> Iterator[Delta | Outcome]:
    return PROVIDERS[provider].stream(CHAT, timeout=timeout, idle_timeout=idle_timeout)


@BOTH
@table(NO_ANSWER | BAD_ANSWER | FILTERED)
def test_a_call_that_meets_a_fault_says_which(ai_sandbox: Sandbox, provider: str, case: Case) -> None:
    ai_sandbox.faults(rules=[case.fault])

    case.at(provider).check(PROVIDERS[provider].complete(CHAT, timeout=case.timeout))


@BOTH
@table(NO_ANSWER | BAD_ANSWER)
def test_an_embedding_meets_the_same_faults(ai_sandbox: Sandbox, provider: str, case: Case) -> None:
    ai_sandbox.faults(rules=[case.fault])

    case.check(PROVIDERS[provider].embed(EMBEDDING, timeout=case.timeout))


@BOTH
@table(NO_ANSWER | {"empty": EMPTY, "the prompt was filtered": FILTERED_PROMPT})
def test_a_stream_that_never_begins_fails_as_a_call_does(
    ai_sandbox: Sandbox, provider: str, case: Case
) -> None:
    ai_sandbox.faults(rules=[case.fault])

    [outcome] = streamed(provider, timeout=case.timeout)

    assert case.at(provider).check(outcome).partial == ""


@BOTH
@table(BROKEN_STREAM)
def test_a_stream_that_breaks_leaves_what_had_come(ai_sandbox: Sandbox, provider: str, case: Case) -> None:
    whole = PROVIDERS[provider].complete(CHAT, timeout=LONG)
    assert isinstance(whole, Completion)
    ai_sandbox.faults(rules=[case.fault])

    *deltas, outcome = streamed(provider, idle_timeout=timedelta(seconds=2))

    failure = case.check(outcome)
    assert "".join(each.text for each in deltas if isinstance(each, Delta)) == failure.partial
    assert 0 < len(failure.partial) < len(whole.text)
    assert whole.text.startswith(failure.partial)


@BOTH
def test_a_stream_has_a_deadline_however_lively_it_is(ai_sandbox: Sandbox, provider: str) -> None:
    ai_sandbox.faults(rules=[{"trickle": 1, "stream_gap_ms": 20}])

    *_, outcome = streamed(provider, timeout=SHORT)

    Case({}, FailureKind.TIMEOUT, maybe_billed=True).check(outcome)


@BOTH
def test_an_answer_without_usage_is_an_answer(ai_sandbox: Sandbox, provider: str) -> None:
    ai_sandbox.faults(rules=[{"no_usage": 1}])

    whole = PROVIDERS[provider].complete(CHAT, timeout=LONG)
    *_, heard = streamed(provider)
    embedded = PROVIDERS[provider].embed(EMBEDDING, timeout=LONG)

    for outcome in (whole, heard, embedded):
        assert isinstance(outcome, Completion)
        assert outcome.usage is None
        assert outcome.text or outcome.vectors


@BOTH
def test_a_date_says_how_long_to_wait(ai_sandbox: Sandbox, provider: str) -> None:
    ai_sandbox.faults(rules=[status(429, retry_after=86_400, retry_after_form="date")])

    outcome = PROVIDERS[provider].complete(CHAT, timeout=LONG)

    assert isinstance(outcome, Failure)
    assert outcome.retry_after is not None
    assert timedelta(hours=23) < outcome.retry_after <= timedelta(hours=24)


@BOTH
def test_a_key_that_no_header_may_hold_is_sent_nowhere_and_quoted_nowhere(
    ai_sandbox: Sandbox, settings: Any, provider: str
) -> None:
    settings.OPENAI_API_KEY = settings.AZURE_OPENAI_API_KEY = "a-secret\n"
    unsent = Case({}, FailureKind.CONNECTION)

    [streaming] = streamed(provider)
    for outcome in (
        PROVIDERS[provider].complete(CHAT, timeout=LONG),
        PROVIDERS[provider].embed(EMBEDDING, timeout=LONG),
        streaming,
    ):
        assert "secret" not in unsent.check(outcome).message


@BOTH
def test_a_provider_that_does_not_listen_was_sent_nothing(settings: Any, provider: str) -> None:
    settings.OPENAI_API_KEY = settings.AZURE_OPENAI_API_KEY = "key"
    settings.OPENAI_BASE_URL = settings.AZURE_OPENAI_ENDPOINT = "http://127.0.0.1:9"
    refused = Case({}, FailureKind.CONNECTION)

    refused.check(PROVIDERS[provider].complete(CHAT, timeout=LONG))
    refused.check(PROVIDERS[provider].embed(EMBEDDING, timeout=LONG))
    [outcome] = streamed(provider)
    refused.check(outcome)
