"""Past questions, recommendations and replays as tests make them."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.ai.models import (
    Deployment,
    Generation,
    GenerationState,
    PromptTemplate,
    Recommendation,
    RecommendationKind,
    Replay,
    Source,
)
from apps.ai.services.generations import run_generation
from apps.ai.services.replaying import advance_replay, open_replays
from apps.ai.services.replays import Begun, Wanted, verify_recommendation
from apps.common.ids import uuid7
from apps.costs.pricing import Usage
from apps.costs.services import holds
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.costs.spending import dollars, take

HOUR = timedelta(hours=1)


def deployment(name: str) -> Deployment:
    """“azure”, the advanced one, or “openai”, the cheaper."""
    with system_transaction():
        return Deployment.objects.get(name=name)


def past(tenant: Tenant, *, at: datetime | None = None, **fields: Any) -> Generation:
    """A caption that a deployment has answered, made at that time."""
    at = at or timezone.now()
    defaults = {
        "task_kind": "caption",
        "state": GenerationState.SUCCEEDED,
        "source": Source.PROVIDER,
        "max_tokens": 100,
        "variables": {"input": f"A lake at dusk, {uuid7()}.", "variables": {}},
        "text": "A calm lake under a red sky, and you.",
        "input_tokens": 200,
        "output_tokens": 40,
        "attempts": 1,
        "finished_at": at,
        "cost": Decimal("0.0009"),
    }
    with system_transaction():
        if "prompt" not in fields:
            fields["prompt"] = PromptTemplate.objects.get(key="assistant_caption", is_active=True)
        return Generation.objects.create(
            id=_id_at(at), tenant_id=tenant.pk, created_at=at, **{**defaults, **fields}
        )


def many(number: int, tenant: Tenant, *, by: str = "azure", **fields: Any) -> None:
    """So many different captions, an hour apart, the last of them an hour ago."""
    last = timezone.now() - HOUR
    row = deployment(by)
    for index in range(number):
        past(tenant, at=last - index * HOUR, deployment=row, model=row.model, **fields)


def repaired(tenant: Tenant, *, at: datetime, first: Usage, answer: Usage) -> Generation:
    """A caption that “azure” has answered at the second attempt."""
    by = deployment("azure")
    row = past(
        tenant,
        at=at,
        deployment=by,
        attempts=2,
        input_tokens=first.input_tokens + answer.input_tokens,
        cached_tokens=first.cached_tokens + answer.cached_tokens,
        output_tokens=first.output_tokens + answer.output_tokens,
        explain=[
            {"attempt": 1, "deployment": by.name, "outcome": "unusable_answer"},
            {"attempt": 2, "deployment": by.name, "outcome": "answered"},
        ],
    )
    of_row: dict[str, Any] = {
        "provider": by.provider,
        "model": by.model,
        "generation_id": row.pk,
        "occurred_at": at,
    }
    for attempt, usage in enumerate((first, answer), start=1):
        holds.settle(hold=take(tenant, 10_000, attempt=attempt, **of_row), usage=usage, now=timezone.now())
    return row


def corrected(row: Generation, tenant: Tenant, *, bound: int, used: int) -> None:
    """Have an attempt at a question cost so many dollars by estimate, and less by the bill that came then.

    Needs `dollar_price`.
    """
    hold = take(tenant, bound, generation_id=row.pk, occurred_at=row.created_at)
    holds.settle(hold=hold, usage=None, now=timezone.now())
    holds.settle(hold=hold, usage=dollars(used), now=timezone.now())


def recommendation(tenant: Tenant, **fields: Any) -> Recommendation:
    """One for captions, to have them answered by “openai” first."""
    defaults = {
        "kind": RecommendationKind.DEAR_MODEL,
        "subject": "caption:openai",
        "task_kind": "caption",
        "advice": "Have captions answered by openai first.",
        "monthly_saving": Decimal("1.5"),
        "confidence": Decimal("0.5"),
        "analysed_at": timezone.now(),
    }
    if "change" not in fields:
        fields["change"] = {"deployment": str(deployment("openai").pk)}
    with tenant_transaction(tenant):
        return Recommendation.objects.create(tenant_id=tenant.pk, **{**defaults, **fields})


def longer(tenant: Tenant, seconds: int = 3600, **fields: Any) -> Recommendation:
    """One to keep captions for so long."""
    return recommendation(
        tenant,
        kind=RecommendationKind.REPEATED_PROMPTS,
        subject="caption",
        change={"fresh_s": seconds, "stale_s": 86400},
        **fields,
    )


def again(row: Recommendation) -> Recommendation:
    """As it is now."""
    with tenant_transaction(row.tenant_id):
        return Recommendation.objects.get(pk=row.pk)


def verify(row: Recommendation, **wanted: Any) -> Begun:
    return verify_recommendation(
        recommendation_id=row.pk,
        tenant_id=row.tenant_id,
        wanted=Wanted(**wanted),
        now=timezone.now(),
        by="Ada",
        user_id=None,
    )


def replay_of(row: Recommendation) -> Replay:
    with tenant_transaction(row.tenant_id):
        return Replay.objects.prefetch_related("items").filter(recommendation=row).order_by("-id")[0]


def advance_all() -> None:
    """As the sweep does."""
    for replay_id in open_replays():
        advance_replay(replay_id=replay_id, now=timezone.now())


def work_off() -> None:
    """As the workers and the sweep do, until there is nothing left to do."""
    for _ in range(5):
        while run_generation(generation_id=None, clock=timezone.now):
            pass
        advance_all()


def _id_at(at: datetime) -> UUID:
    """A version 7 id of that time."""
    random = uuid7().int & ((1 << 80) - 1)
    return UUID(int=(int(at.timestamp() * 1000) << 80) | random)
