"""What a trace tells of generations and calls of providers, and what it must not."""

from contextlib import AbstractContextManager

import pytest
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from apps.ai import spans
from apps.common.ids import uuid7
from apps.costs.pricing import Usage
from tests.tracing import Kept, keep_spans

TENANT, GENERATION = uuid7(), uuid7()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    return keep_spans(monkeypatch)


def attempt(provider: str = "azure") -> AbstractContextManager[spans.AttemptSpan]:
    return spans.attempt(
        provider=provider,
        model="gpt-4o",
        deployment="azure-eu",
        max_tokens=300,
        tenant_id=TENANT,
        generation_id=GENERATION,
        number=2,
    )


def test_an_answered_attempt_carries_the_pinned_names_and_no_others(kept: Kept) -> None:
    with attempt() as told:
        told.answered(model="gpt-4o-2024-08-06", finish_reason="stop", usage=Usage(20, 7, cached_tokens=5))
    span = kept.named("chat gpt-4o")
    assert span.kind == SpanKind.CLIENT
    assert span.status.status_code == StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.system": "az.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.max_tokens": 300,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "huntaze.tenant_id": str(TENANT),
        "huntaze.generation_id": str(GENERATION),
        "huntaze.attempt": 2,
        "huntaze.deployment": "azure-eu",
    }


def test_a_failed_attempt_names_its_kind_alone(kept: Kept) -> None:
    with attempt("openai") as told:
        told.failed("rate_limited")
    span = kept.named("chat gpt-4o")
    attributes = span.attributes or {}
    assert (span.status.status_code, attributes["error.type"]) == (StatusCode.ERROR, "rate_limited")
    assert attributes["gen_ai.provider.name"] == attributes["gen_ai.system"] == "openai"
    assert "gen_ai.usage.input_tokens" not in attributes


def test_an_exception_is_told_by_its_type_for_its_words_may_quote_the_question(kept: Kept) -> None:
    with pytest.raises(ValueError, match="the secret recipe"), attempt():
        raise ValueError("the secret recipe")
    span = kept.named("chat gpt-4o")
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert "recipe" not in span.to_json()


def test_an_attempt_belongs_to_its_generation(kept: Kept) -> None:
    with spans.generation(task_kind="caption", tenant_id=TENANT, generation_id=GENERATION) as told:
        with attempt():
            pass
        told.ended(source="provider", attempts=2)
    whole, part = kept.named("generation caption"), kept.named("chat gpt-4o")
    assert part.parent is not None
    assert part.parent == whole.context
    attributes = whole.attributes or {}
    assert (attributes["huntaze.source"], attributes["huntaze.attempts"]) == ("provider", 2)


def test_a_generation_that_nobody_could_answer_is_an_error(kept: Kept) -> None:
    with spans.generation(task_kind="caption", tenant_id=TENANT, generation_id=GENERATION) as told:
        told.ended(source="", attempts=0, error_code="budget_exhausted")
    span = kept.named("generation caption")
    assert (span.attributes or {})["error.type"] == "budget_exhausted"
    assert span.status.status_code == StatusCode.ERROR


def test_where_no_collector_is_named_no_span_is_begun() -> None:
    with spans.generation(task_kind="caption", tenant_id=TENANT, generation_id=GENERATION) as whole:
        with attempt() as part:
            assert not get_current_span().get_span_context().is_valid
            part.failed("timeout", usage=Usage(1, 1))
        whole.ended(source="", attempts=1, error_code="timeout")
