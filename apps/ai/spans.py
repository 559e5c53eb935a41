"""Spans of generations and of calls to providers. Never a word of a question or an answer.

OpenTelemetry's names for generative AI are still in development, so they are pinned here: those of its
semantic conventions 1.37 (gen_ai.provider.name), and the one before, which many backends still read
(gen_ai.system).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from opentelemetry.trace import INVALID_SPAN, Span, SpanKind

from apps.costs.pricing import Usage
from apps.operations import tracing

OPERATION = "gen_ai.operation.name"
SYSTEM = "gen_ai.system"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TENANT = "huntaze.tenant_id"
GENERATION = "huntaze.generation_id"
TASK_KIND = "huntaze.task_kind"
SOURCE = "huntaze.source"
ATTEMPTS = "huntaze.attempts"
ATTEMPT = "huntaze.attempt"
DEPLOYMENT = "huntaze.deployment"

# Our providers by the names of the conventions, and by those of the older attribute.
_PROVIDERS: Mapping[str, str] = {"azure": "azure.ai.openai", "openai": "openai"}
_SYSTEMS: Mapping[str, str] = {"azure": "az.ai.openai", "openai": "openai"}


class AttemptSpan:
    """What is told of one call of a provider, once it has ended."""

    def __init__(self, opened: Span) -> None:
        self._span = opened

    def answered(self, *, model: str, finish_reason: str, usage: Usage | None) -> None:
        self._span.set_attributes({RESPONSE_MODEL: model, FINISH_REASONS: (finish_reason,)})
        self._used(usage)

    def failed(self, kind: str, *, usage: Usage | None = None) -> None:
        """`kind` is a FailureKind; the provider's words stay away, since they may quote the question."""
        tracing.fail(self._span, kind)
        self._used(usage)

    def _used(self, usage: Usage | None) -> None:
        if usage is not None:
            self._span.set_attributes(
                {
                    INPUT_TOKENS: usage.input_tokens,
                    CACHED_TOKENS: usage.cached_tokens,
                    OUTPUT_TOKENS: usage.output_tokens,
                }
            )


class GenerationSpan:
    """What is told of one question, once it has ended."""

    def __init__(self, opened: Span) -> None:
        self._span = opened

    def ended(self, *, source: str, attempts: int, error_code: str = "") -> None:
        self._span.set_attributes({SOURCE: source, ATTEMPTS: attempts})
        if error_code:
            tracing.fail(self._span, error_code)


_NO_ATTEMPT = AttemptSpan(INVALID_SPAN)
_NO_GENERATION = GenerationSpan(INVALID_SPAN)


@contextmanager
def generation(
    *, task_kind: str, tenant_id: UUID, generation_id: UUID, control: tuple[type[Exception], ...] = ()
) -> Iterator[GenerationSpan]:
    """Around the work on one question: cache, waits and attempts. Exceptions of `control` are no errors."""
    if not tracing.is_on():
        yield _NO_GENERATION
        return
    with tracing.span(f"generation {task_kind}", control=control) as opened:
        opened.set_attributes({TASK_KIND: task_kind, TENANT: str(tenant_id), GENERATION: str(generation_id)})
        yield GenerationSpan(opened)


@contextmanager
def attempt(
    *,
    provider: str,
    model: str,
    deployment: str,
    max_tokens: int | None,
    tenant_id: UUID,
    generation_id: UUID,
    number: int,
    operation: str = "chat",
) -> Iterator[AttemptSpan]:
    """Around one call of a provider; `operation` is "chat" or "embeddings"."""
    if not tracing.is_on():
        yield _NO_ATTEMPT
        return
    with tracing.span(f"{operation} {model}", kind=SpanKind.CLIENT) as opened:
        opened.set_attributes(
            {
                OPERATION: operation,
                PROVIDER: _PROVIDERS.get(provider, provider),
                SYSTEM: _SYSTEMS.get(provider, provider),
                REQUEST_MODEL: model,
                TENANT: str(tenant_id),
                GENERATION: str(generation_id),
                ATTEMPT: number,
                DEPLOYMENT: deployment,
                **({} if max_tokens is None else {MAX_TOKENS: max_tokens}),
            }
        )
        yield AttemptSpan(opened)
