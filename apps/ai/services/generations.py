"""Generations: rows that ask the AI something, and the work of answering them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Coalesce

from apps.ai.deadlines import BACKGROUND, Deadlines
from apps.ai.models import Generation, GenerationState, Source
from apps.ai.services import deployments, orchestrator, prompts
from apps.ai.services.orchestrator import GRACE, Answer, GenerationError, Timing
from apps.common.connections import give_back_connection
from apps.common.errors import DomainError
from apps.common.priority import Priority
from apps.common.text import storable
from apps.costs import queries
from apps.costs.services import holds
from apps.costs.services.holds import Purpose
from apps.tenants.doors import tenant_transaction
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# A generation that was just asked for has its own hint under way; the sweep looks at older ones.
SWEEP_AFTER = timedelta(seconds=10)
# A question over which processes die, or that makes us fail, isn't paid for without end: three whole runs.
ATTEMPTS_AT_MOST = 3 * (1 + BACKGROUND.retries)


class AbandonedError(DomainError):
    """Attempt after attempt was made, and none of them could be brought to an end."""

    code = "abandoned"


class _ClaimLostError(Exception):
    """Our lease expired and somebody else works on the generation: everything we still do is in vain."""


@dataclass
class _Claim:
    """A generation of ours until its lease expires. The lease's end, which only grows, names the claim."""

    generation: Generation
    lease_expires_at: datetime

    def renew(self, attempts: int, until: datetime) -> None:
        """Keep it at least until then. Raises _ClaimLostError."""
        if until > self.lease_expires_at:
            self._update(attempts=attempts, lease_expires_at=until)
            self.lease_expires_at = until

    def finish(self, **fields: Any) -> None:
        """Record the end. Raises _ClaimLostError."""
        costs = queries.generation_cost(
            generation_id=self.generation.pk, occurred_at=self.generation.created_at
        )
        self._update(
            **storable(fields),  # also the providers' own words for what went wrong
            lease_expires_at=None,
            input_tokens=costs.input_tokens,
            cached_tokens=costs.cached_tokens,
            output_tokens=costs.output_tokens,
            cost=costs.amount,
        )

    def _update(self, **fields: Any) -> None:
        with tenant_transaction(self.generation.tenant_id):
            mine = Generation.objects.filter(
                pk=self.generation.pk,
                state=GenerationState.RUNNING,
                lease_expires_at=self.lease_expires_at,
            )
            if not mine.update(**fields):
                raise _ClaimLostError


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
) -> Generation:
    """Leave a question to be answered, in the caller's transaction.

    Raises UnknownPromptError, and TemplateError if the prompt can't be rendered with these variables.
    """
    prompt = prompts.active_prompt(key=prompt_key)
    max_tokens = max_tokens or prompt.max_tokens
    prompts.render_request(prompt=prompt, variables=variables, max_tokens=max_tokens)
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
    )


def run_generation(
    *, generation_id: UUID, clock: Callable[[], datetime], deadlines: Deadlines = BACKGROUND
) -> Generation | None:
    """Answer a generation that nobody works on: the finished row; None if there is nothing (more) to do.

    A refusal or a failure of the providers ends it as failed, with a reason for people. Calls of a process
    that died over it are settled first, by estimate.
    """
    claim, attempts_before = _claim(generation_id, clock())
    if claim is None:
        return None
    try:
        _finish(claim, attempts_before, clock, deadlines)
    except _ClaimLostError:
        log.warning("generation.claim_lost", generation_id=str(generation_id))
        return None
    with tenant_transaction(claim.generation.tenant_id):
        claim.generation.refresh_from_db()
    return claim.generation


def cancel_pending(*, campaign_id: UUID, now: datetime) -> int:
    """End a campaign's generations that nobody has begun, so that none is paid for in vain. Returns how many.

    Runs in the caller's transaction.
    """
    pending = Generation.objects.filter(campaign_id=campaign_id, state=GenerationState.PENDING)
    return pending.update(
        state=GenerationState.FAILED,
        finished_at=now,
        error_code="campaign_over",
        error="The campaign had ended before anybody began on it.",
    )


def waiting_generations(*, now: datetime, limit: int = 500) -> list[UUID]:
    """Generations that should be hinted at again: left by a dead process, or asked for a while ago."""
    with system_transaction():
        waiting = Generation.objects.waiting(now=now).filter(created_at__lte=now - SWEEP_AFTER)
        return list(waiting.order_by("priority", "id").values_list("pk", flat=True)[:limit])


def _claim(generation_id: UUID, now: datetime) -> tuple[_Claim | None, int]:
    lease = now + settings.AI_ATTEMPT_TIMEOUT + GRACE
    with system_transaction():
        waiting = Generation.objects.waiting(now=now).filter(pk=generation_id)
        taken = waiting.update(
            state=GenerationState.RUNNING, lease_expires_at=lease, started_at=Coalesce(F("started_at"), now)
        )
        if not taken:
            return None, 0
        generation = Generation.objects.select_related("prompt").get(pk=generation_id)
    holds.settle_abandoned(now=now, generation_id=generation_id)
    before = holds.last_attempt(tenant_id=generation.tenant_id, generation_id=generation_id)
    return _Claim(generation, lease), before


def _finish(claim: _Claim, attempts_before: int, clock: Callable[[], datetime], deadlines: Deadlines) -> None:
    generation, started_at = claim.generation, clock()
    try:
        if attempts_before >= ATTEMPTS_AT_MOST:
            raise AbandonedError("Every process that worked on it died or failed. Look at the dead letters.")
        answer = _answer(claim, attempts_before, clock, deadlines)
    except GenerationError as error:
        ending = _failed(error, explain=error.explain, attempts=error.attempts)
    except DomainError as error:
        ending = _failed(error, explain=[], attempts=attempts_before)
    else:
        ending = _succeeded(answer, generation)
    now = clock()
    with tenant_transaction(generation.tenant_id):
        claim.finish(**ending, finished_at=now, latency=max(now - started_at, timedelta()))
    log.info(
        "generation.finished",
        generation_id=str(generation.pk),
        state=ending["state"],
        error_code=ending.get("error_code", ""),
        attempts=ending["attempts"],
    )


def _answer(
    claim: _Claim, attempts_before: int, clock: Callable[[], datetime], deadlines: Deadlines
) -> Answer:
    generation = claim.generation
    request = prompts.render_request(
        prompt=generation.prompt, variables=generation.variables, max_tokens=generation.max_tokens
    )
    with tenant_transaction(generation.tenant_id):
        candidates, exclusions = deployments.candidates()
    give_back_connection()
    return orchestrator.generate(
        request=request,
        purpose=Purpose(
            tenant_id=generation.tenant_id,
            generation_id=generation.pk,
            task_kind=generation.task_kind,
            occurred_at=generation.created_at,
            account_id=generation.account_id,
            campaign_id=generation.campaign_id,
            user_id=generation.user_id,
        ),
        deployments=candidates,
        exclusions=exclusions,
        deadlines=deadlines.capped(settings.AI_ATTEMPT_TIMEOUT),
        timing=Timing(clock=clock, renew=claim.renew),
        attempts_before=attempts_before,
    )


def _succeeded(answer: Answer, generation: Generation) -> dict[str, Any]:
    structured = generation.prompt.output_schema is not None
    return {
        "state": GenerationState.SUCCEEDED,
        "source": Source.PROVIDER,
        "deployment_id": answer.candidate.id,
        "model": answer.model,
        "text": "" if structured else answer.read.text,
        "data": answer.read.data,
        "attempts": answer.attempts,
        "explain": answer.explain,
    }


def _failed(error: DomainError, *, explain: list[dict[str, object]], attempts: int) -> dict[str, Any]:
    return {
        "state": GenerationState.FAILED,
        "error_code": error.code,
        "error": error.message,
        "attempts": attempts,
        "explain": explain,
    }
