"""What happens to a generation's row and to its money, in one round trip at each end of an attempt.

The SQL functions are in the migrations 0005_generation_functions and 0015_abandonments. But for a claim, a
call that is repeated with the same arguments, `now` included, changes nothing and hears the same, so a lost
answer may be asked for again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from apps.ai.models import GenerationState, Source
from apps.common.connections import Sent
from apps.common.errors import ConflictError, DomainError
from apps.common.priority import Priority
from apps.common.text import storable
from apps.costs.pricing import Usage
from apps.costs.services import holds
from apps.costs.services.holds import Attempt, Held, Purpose
from apps.tenants.doors import call_for_tenant, send_for_tenant
from apps.tenants.system import call_for_system


class ClaimLostError(Exception):
    """The lease had expired and somebody else works on the generation, or has ended it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a new generation's row holds beside its purpose; the purpose's `occurred_at` is its creation."""

    prompt_id: UUID
    variables: Mapping[str, Any]
    max_tokens: int
    priority: Priority = Priority.MEDIUM


@dataclass(frozen=True, slots=True)
class Begun:
    """The hold that an attempt was given, and the end of the lease, which names the claim from now on.

    `budget_left` is what the fullest of the budgets that stop calls has left beside all holds, as a fraction
    of its limit; None without such a budget.
    """

    hold: Held
    lease_expires_at: datetime
    budget_left: Decimal | None


@dataclass(frozen=True, slots=True)
class Refused:
    """There was no money for an attempt; the generation is still ours, until then."""

    error: DomainError
    lease_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of the last attempt: its usage if known; `is_free` if it can't have cost anything."""

    hold: Held
    usage: Usage | None
    is_free: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """What all attempts of a generation came to."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended. `joined_id`: the one whose call answered it too; `age`: of the answer.

    Once it is written it has `finished_at`, and `came_to`.
    """

    state: GenerationState
    source: Source | str = ""
    deployment_id: UUID | None = None
    model: str = ""
    text: str = ""
    data: Any = None
    error_code: str = ""
    error: str = ""
    explain: Sequence[Mapping[str, object]] = ()
    attempts: int = 0
    latency: timedelta | None = None
    age: timedelta | None = None
    joined_id: UUID | None = None
    finished_at: datetime | None = None
    came_to: Ended = Ended()


def nothing() -> None:
    """What there is to do meanwhile, mostly."""


def claim_generation(
    generation_id: UUID | None, *, now: datetime, lease_until: datetime
) -> dict[str, Any] | None:
    """Take a generation that nobody works on, or the most urgent one. None if there is nothing to do.

    Otherwise the row's columns that say what is asked; `started_at`, when somebody first began on it;
    `attempts` until now and the `lost_attempts` of the run before it was put back; `was_abandoned`: somebody
    had left it, the last of so many `abandonments`; and of one that was cancelled `error_code` and `error`.
    """
    row = call_for_system("ai_claim_generation", generation_id, now, lease_until)
    return None if row["id"] is None else row | {"variables": json.loads(row["variables"])}


class Beginning:
    """The beginning of an attempt, which PostgreSQL has been asked for.

    `outcome` has to be asked for, or `close` called, by the thread that made it.
    """

    def __init__(
        self, ask: Callable[[], Sent], *, purpose: Purpose, attempt: Attempt, lease: datetime
    ) -> None:
        self._ask, self._purpose, self._attempt, self._lease = ask, purpose, attempt, lease
        self._sent: Sent | None = ask()
        self._outcome: Begun | Refused | None = None
        self._error: BaseException | None = None

    def outcome(self) -> Begun | Refused:
        """It is committed when this returns; the same each time that it is asked. Raises ClaimLostError."""
        if self._error is not None:
            raise self._error
        if self._outcome is None:
            try:
                self._outcome = self._read(holds.ask(self._purpose, self._row))
            except BaseException as error:  # whatever it is, nobody is to ask a second time
                self._error = error
                raise
        return self._outcome

    def close(self) -> None:
        """Do without it. What was carried out all the same is found when its lease and its hold expire."""
        if self._sent is not None:
            self._sent.close()

    def _row(self) -> dict[str, Any]:
        sent, self._sent = self._sent or self._ask(), None
        return sent.row()

    def _read(self, row: dict[str, Any]) -> Begun | Refused:
        if row["outcome"] == "claim_lost":
            raise ClaimLostError
        try:
            hold = holds.taken(row, purpose=self._purpose, attempt=self._attempt)
        except DomainError as refusal:
            return Refused(refusal, self._lease)
        return Begun(hold, self._lease, row["budget_left"])


def begin_attempt(
    *,
    purpose: Purpose,
    attempt: Attempt,
    lease_until: datetime,
    now: datetime,
    question: Question | None = None,
    lease_was: datetime | None = None,
) -> Beginning:
    """Write a new generation's row, or renew the lease of one that is ours, and take the attempt's hold.

    Give the `question` for the first attempt at a new one, `lease_was` afterwards, also after a refusal: the
    row is written all the same. A lease that ends later than `lease_until` stays as it is.
    """
    return Beginning(
        lambda: send_for_tenant(
            purpose.tenant_id,
            "ai_begin_attempt",
            *_asked(purpose, question),
            lease_was,
            lease_until,
            attempt.hold_id,
            attempt.number,
            attempt.provider,
            attempt.model,
            attempt.body_bytes,
            attempt.max_tokens,
            attempt.expires_at,
            now,
        ),
        purpose=purpose,
        attempt=attempt,
        lease=lease_until if lease_was is None else max(lease_was, lease_until),
    )


def end_generation(
    *,
    tenant_id: UUID,
    generation_id: UUID,
    lease_was: datetime,
    ending: Ending,
    now: datetime,
    settlement: Settlement | None = None,
    meanwhile: Callable[[], None] = nothing,
) -> Ended:
    """Settle the last attempt and end a generation that is ours, with the sums of its ledger entries.

    `meanwhile` is called while PostgreSQL does so. Raises ClaimLostError; the money is settled even so.
    """
    sent = send_for_tenant(
        tenant_id,
        "ai_end_generation",
        generation_id,
        lease_was,
        *_paid(settlement),
        *_ended(ending),
        now,
    )
    with closing(sent):
        meanwhile()
        row = sent.row()
    if settlement is not None and not settlement.is_free:
        holds.check_settled(row["settled"], row["amount"], hold=settlement.hold)
    if row["outcome"] == "claim_lost":
        raise ClaimLostError
    return Ended(row["input_tokens"], row["cached_tokens"], row["output_tokens"], row["cost"])


def record_generation(*, purpose: Purpose, question: Question, ending: Ending, now: datetime) -> None:
    """Write the row of a generation that is over and cost nothing: a hit, a joiner, a template, a refusal.

    Raises ConflictError if there is another generation with its id.
    """
    row = call_for_tenant(
        purpose.tenant_id, "ai_record_generation", *_asked(purpose, question), *_ended(ending), now
    )
    if not all(row.values()):
        raise ConflictError(f"There is another generation {purpose.generation_id}.")


def _asked(purpose: Purpose, question: Question | None) -> tuple[object, ...]:
    asked: tuple[object, ...] = (None, None, None, None)
    if question is not None:
        variables = Jsonb(dict(question.variables))
        asked = (question.prompt_id, variables, question.max_tokens, int(question.priority))
    return (
        purpose.generation_id,
        purpose.occurred_at,
        purpose.task_kind,
        purpose.account_id,
        purpose.campaign_id,
        purpose.user_id,
        *asked,
    )


def _paid(settlement: Settlement | None) -> tuple[object, ...]:
    if settlement is None:
        return (None, False, None, None, None, None)
    if settlement.is_free:
        return (settlement.hold.pk, True, None, None, None, None)
    return (settlement.hold.pk, False, *holds.charge(settlement.hold, settlement.usage))


def _ended(ending: Ending) -> tuple[object, ...]:
    # Texts of models and of providers may hold what no database keeps.
    data = storable(ending.data)
    return (
        str(ending.state),
        str(ending.source),
        ending.deployment_id,
        storable(ending.model),
        storable(ending.text),
        None if data is None else Jsonb(data),
        ending.error_code,
        storable(ending.error),
        Jsonb(storable(list(ending.explain))),
        ending.attempts,
        ending.latency,
        ending.age,
        ending.joined_id,
    )
