"""Generations: rows that ask the AI something, and the work of answering them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from apps.ai.deadlines import BACKGROUND, Deadlines, Timing
from apps.ai.models import Deployment, Generation, GenerationState, PromptTemplate
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest
from apps.ai.services import configuration, endings, orchestrator, prompts
from apps.ai.services.claims import Claim, claim_generation, lease_from
from apps.ai.services.questions import Question
from apps.ai.services.records import Record
from apps.ai.services.recovery import PutBackError
from apps.ai.services.rows import ClaimLostError, Ending
from apps.common.errors import DomainError
from apps.common.priority import Priority
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# A generation that was just asked for has its own hint under way; the sweep looks at older ones.
SWEEP_AFTER = timedelta(seconds=10)
# A question over which processes die, or that makes us fail, isn't asked without end: three whole runs, and
# as many claims, since it may do so before its first attempt.
ATTEMPTS_AT_MOST = 3 * (1 + BACKGROUND.retries)


# What a generation's row takes over from its ending as it is.
_ENDED = (
    "state",
    "source",
    "deployment_id",
    "model",
    "text",
    "data",
    "error_code",
    "error",
    "explain",
    "attempts",
    "latency",
    "age",
    "joined_id",
    "finished_at",
)


class AbandonedError(DomainError):
    """Process after process worked on it, and none could bring it to an end."""

    code = "abandoned"


def make_question(
    *,
    tenant_id: UUID,
    prompt_key: str,
    variables: Mapping[str, Any],
    now: datetime,
    max_tokens: int | None = None,
    **fields: Any,
) -> Question:
    """A question that has no row yet; the other fields are those of Question.

    Raises UnknownPromptError, and TemplateError if the prompt can't be rendered with these variables.
    """
    prompt, max_tokens, request = _put(prompt_key, variables, max_tokens)
    return Question(
        tenant_id=tenant_id,
        prompt=prompt,
        variables=dict(variables),
        asked_at=now,
        max_tokens=max_tokens,
        request=request,
        **fields,
    )


def request_generation(
    *,
    tenant_id: UUID,
    prompt_key: str,
    variables: Mapping[str, Any],
    account_id: UUID | None = None,
    campaign_id: UUID | None = None,
    user_id: UUID | None = None,
    priority: Priority = Priority.MEDIUM,
    max_tokens: int | None = None,
    fresh: bool = False,
    claimed_at: datetime | None = None,
) -> Generation:
    """Leave a question to be answered, in the caller's transaction; with `claimed_at`, by the caller itself.

    Raises UnknownPromptError, and TemplateError if the prompt can't be rendered with these variables.
    """
    prompt, max_tokens, _ = _put(prompt_key, variables, max_tokens)
    return Generation.objects.create(
        tenant_id=tenant_id,
        task_kind=prompt.task_kind,
        prompt=prompt,
        variables=dict(variables),
        max_tokens=max_tokens,
        account_id=account_id,
        campaign_id=campaign_id,
        user_id=user_id,
        priority=priority,
        fresh=fresh,
        **(_claim_of(claimed_at) if claimed_at else {}),
    )


def answer_question(
    *,
    question: Question,
    clock: Callable[[], datetime],
    deadlines: Deadlines,
    emit: Callable[[str], None] | None = None,
) -> Ending | None:
    """Answer a question at once. Its row is committed before anybody is called, and ended by then.

    None if that took so long that somebody else works on it now.
    """
    return _answer(question, Record(question), clock, deadlines, emit)


def row_of(question: Question, ending: Ending) -> Generation:
    """A generation that was just ended, as its row would be read."""
    columns = {name: getattr(ending, name) for name in _ENDED}
    row = Generation(
        id=question.id,
        tenant_id=question.tenant_id,
        created_at=question.asked_at,
        task_kind=question.task_kind,
        account_id=question.account_id,
        campaign_id=question.campaign_id,
        user_id=question.user_id,
        prompt=question.prompt,
        variables=question.variables,
        max_tokens=question.max_tokens,
        priority=question.priority,
        fresh=question.fresh,
        pinned_id=question.pinned_id,
        **columns,
        **asdict(ending.came_to),
    )
    called = configuration.current().deployment(ending.deployment_id)
    if called is not None:  # otherwise whoever wants it reads it
        row.deployment = Deployment(pk=called.id, name=called.name, provider=called.provider)
    return row


def answer_claimed(
    *,
    generation: Generation,
    clock: Callable[[], datetime],
    deadlines: Deadlines,
    emit: Callable[[str], None] | None = None,
) -> Ending | None:
    """Answer a generation that was claimed when it was left. None as above."""
    record = Record(Question.of(generation), lease_expires_at=generation.lease_expires_at)
    return _answer(Question.of(generation), record, clock, deadlines, emit)


@dataclass(frozen=True, slots=True)
class Run:
    """A generation that has come to its end."""

    question: Question
    ending: Ending


def run_generation(
    *,
    generation_id: UUID | None,
    clock: Callable[[], datetime],
    deadlines: Deadlines = BACKGROUND,
    emit: Callable[[str], None] | None = None,
) -> Run | None:
    """Answer a generation that nobody works on, or the most urgent one. None if there is nothing to do.

    A refusal or a failure of the providers ends it as failed, with a reason for people. Calls of a process
    that died over it are settled first, by estimate. While no deployment may be called it is put back, if its
    deadlines say so.
    """
    now = clock()
    claim = claim_generation(generation_id, now=now)
    if claim is None:
        return None
    record = claim.record(deadlines)
    if refusal := _refusal(claim):
        record.end(endings.failed(refusal, attempts=record.attempts), now=now)
        return None
    ending = _answer(claim.question, record, clock, claim.allowed(deadlines), emit)
    return Run(claim.question, ending) if ending else None


def cancel_generations(*, campaign_id: UUID, now: datetime) -> int:
    """Have no more of a campaign's generations paid for; an answer under way is kept. Returns how many.

    Runs in the caller's transaction.
    """
    return Generation.objects.filter(campaign_id=campaign_id).cancel(
        code="campaign_over", message="The campaign had ended before there was an answer.", now=now
    )


def waiting_generations(*, now: datetime, limit: int = 500) -> list[UUID]:
    """Generations that should be hinted at again: left by a dead process, or asked for a while ago."""
    with system_transaction():
        due = Generation.objects.due(now=now).filter(created_at__lte=now - SWEEP_AFTER)
        return list(due.order_by("priority", "id").values_list("pk", flat=True)[:limit])


def _put(
    key: str, variables: Mapping[str, Any], max_tokens: int | None
) -> tuple[PromptTemplate, int, ChatRequest | EmbeddingRequest]:
    """The active version of a prompt, the most tokens of an answer, and the request that they make."""
    prompt = prompts.active_prompt(key=key)
    max_tokens = max_tokens or prompt.max_tokens
    request = prompts.render_request(prompt=prompt, variables=variables, max_tokens=max_tokens)
    return prompt, max_tokens, request


def _claim_of(now: datetime) -> dict[str, Any]:
    return {"state": GenerationState.RUNNING, "lease_expires_at": lease_from(now), "started_at": now}


def _refusal(claim: Claim) -> DomainError | None:
    """Why it isn't asked any more."""
    if claim.cancelled is None and max(claim.attempts, claim.abandonments) >= ATTEMPTS_AT_MOST:
        return AbandonedError("Every process that worked on it died or failed. Look at the dead letters.")
    return claim.cancelled


def _answer(
    question: Question,
    record: Record,
    clock: Callable[[], datetime],
    deadlines: Deadlines,
    emit: Callable[[str], None] | None,
) -> Ending | None:
    try:
        ending = orchestrator.generate(
            question,
            record=record,
            deadlines=deadlines.capped(settings.AI_ATTEMPT_TIMEOUT),
            timing=Timing(clock=clock),
            emit=emit,
        )
    except ClaimLostError:
        log.warning("generation.claim_lost", generation_id=str(question.id))
        return None
    except PutBackError as waiting:
        log.info("generation.put_back", generation_id=str(question.id), until=waiting.until.isoformat())
        return None
    log.info(
        "generation.finished",
        generation_id=str(question.id),
        state=ending.state,
        source=ending.source,
        error_code=ending.error_code,
        attempts=ending.attempts,
    )
    return ending
