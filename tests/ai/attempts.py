"""Attempts and endings of generations as tests of their rows make them."""

from datetime import datetime, timedelta
from typing import Any

from apps.ai.models import Generation, GenerationState, Source
from apps.ai.services import rows
from apps.ai.services.prompts import active_prompt
from apps.ai.services.rows import Begun, Ended, Ending, Question, Refused, Settlement
from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.costs.models import Hold
from apps.costs.services.holds import Attempt, Purpose
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.costs.spending import MODEL

MINUTE = timedelta(minutes=1)
SUCCEEDED = Ending(GenerationState.SUCCEEDED, Source.PROVIDER, model=MODEL, text="Hello", attempts=1)
FAILED = Ending(GenerationState.FAILED, error_code="server_error", error="It is down.", attempts=1)


def purpose_of(tenant: Tenant, now: datetime, **fields: Any) -> Purpose:
    return Purpose(tenant.pk, fields.pop("generation_id", None) or uuid7(), "message", now, **fields)


def question(**variables: Any) -> Question:
    return Question(active_prompt(key="fan_message").pk, variables, 300, Priority.HIGH)


def attempt(now: datetime, number: int = 1, cost: int = 10, model: str = MODEL) -> Attempt:
    """One whose bound is `cost` dollars."""
    return Attempt(number, "openai", model, body_bytes=cost, max_tokens=0, expires_at=now + MINUTE)


def begin(purpose: Purpose, now: datetime, **fields: Any) -> Begun | Refused:
    """The first attempt at a new question, unless the fields say something else."""
    given: dict[str, Any] = {"attempt": attempt(now), "lease_until": now + MINUTE, "now": now, **fields}
    if not given.keys() & {"lease_was", "question"}:
        given["question"] = question()
    return rows.begin_attempt(purpose=purpose, **given).outcome()


def begun(purpose: Purpose, now: datetime, **fields: Any) -> Begun:
    found = begin(purpose, now, **fields)
    assert isinstance(found, Begun)
    return found


def refused(purpose: Purpose, now: datetime, **fields: Any) -> Refused:
    found = begin(purpose, now, **fields)
    assert isinstance(found, Refused)
    return found


def end(
    purpose: Purpose, now: datetime, lease: datetime, ending: Ending, paid: Settlement | None = None
) -> Ended:
    return rows.end_generation(
        tenant_id=purpose.tenant_id,
        generation_id=purpose.generation_id,
        lease_was=lease,
        ending=ending,
        settlement=paid,
        now=now,
    )


def hold_of(tenant: Tenant, number: int = 1) -> Hold:
    with tenant_transaction(tenant):
        return Hold.objects.get(attempt=number)


def states(tenant: Tenant) -> list[tuple[Any, ...]]:
    with tenant_transaction(tenant):
        return list(Generation.objects.values_list("pk", "state", "lease_expires_at", "attempts"))
