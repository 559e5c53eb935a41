"""How a generation may end, as its row keeps it; and an answer as others get it: cached, or by joining."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from apps.ai.answers import Read
from apps.ai.models import GenerationState, Source
from apps.ai.services.attempts import Found
from apps.ai.services.questions import Question
from apps.ai.services.rows import Ending
from apps.ai.services.troubles import GenerationError
from apps.common.errors import DomainError


def from_provider(
    found: Found, *, question: Question, attempts: int, explain: Sequence[Mapping[str, object]]
) -> Ending:
    answered = {"attempt": attempts, "deployment": found.candidate.name, "outcome": "answered"}
    return Ending(
        state=GenerationState.SUCCEEDED,
        source=Source.PROVIDER,
        deployment_id=found.candidate.id,
        model=found.completion.model or found.candidate.model,
        **_words(found.read, question),
        explain=[*explain, answered],
        attempts=attempts,
        age=timedelta(),
    )


def shared(ending: Ending, *, question: Question) -> dict[str, Any]:
    """A provider's answer as JSON, for the cache and for those who joined."""
    return {
        "generation": str(question.id),
        "deployment": str(ending.deployment_id),
        "model": ending.model,
        "text": ending.text,
        "data": ending.data,
    }


def from_shared(
    answer: Mapping[str, Any], *, question: Question, source: Source, age: timedelta, why: str
) -> Ending:
    """Somebody else's answer; what it cost is theirs."""
    return Ending(
        state=GenerationState.SUCCEEDED,
        source=source,
        deployment_id=UUID(answer["deployment"]),
        model=answer["model"],
        text=answer["text"],
        data=answer["data"],
        explain=[{"answered_by": answer["generation"], "reason": why}],
        age=age,
        joined_id=None if answer["generation"] == str(question.id) else UUID(answer["generation"]),
    )


def from_template(read: Read, *, question: Question) -> Ending:
    return Ending(state=GenerationState.SUCCEEDED, source=Source.TEMPLATE, **_words(read, question))


def failed(error: DomainError, *, attempts: int) -> Ending:
    return Ending(
        state=GenerationState.FAILED,
        error_code=error.code,
        error=error.message,
        explain=error.explain if isinstance(error, GenerationError) else [],
        attempts=attempts,
    )


def _words(read: Read, question: Question) -> dict[str, Any]:
    structured = question.prompt.output_schema is not None
    return {"text": "" if structured else read.text, "data": read.data}
