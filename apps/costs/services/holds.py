"""Money set aside before a call to a provider, and what becomes of it.

Taking and ending a hold are SQL functions (migration 0003_hold_functions), a round trip each. The ones of
`ai`, which write a generation's row in the same one, call them; what they answer is read here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import structlog
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.costs import pricing
from apps.costs.models import Budget, Hold, HoldState, LedgerEntry
from apps.costs.pricing import FixedRates, Usage
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, Ceiling, NoPriceError
from apps.costs.services import counters
from apps.tenants.doors import call_for_tenant, tenant_transaction
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

_Row = TypeVar("_Row", bound=Model)

# Input, cached and output tokens, and their cost.
Charge = tuple[int | None, int | None, int | None, Decimal | None]
_UNKNOWN: Charge = (None, None, None, None)

# Once is enough, but for a tenant whose time zone is changed just then.
_OPENINGS = 3


class AttemptTakenError(ConflictError):
    """Another process made this attempt: its hold is not ours."""

    code = "attempt_taken"


@dataclass(frozen=True, slots=True)
class Purpose:
    """Whom and what a call is for. `occurred_at`: when its generation was made, for all its attempts."""

    tenant_id: UUID
    generation_id: UUID
    task_kind: str
    occurred_at: datetime
    account_id: UUID | None = None
    campaign_id: UUID | None = None
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call to be paid for. `hold_id`: two with the same are one call, asked for twice."""

    number: int
    provider: str
    model: str
    body_bytes: int
    max_tokens: int
    expires_at: datetime
    hold_id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class Held:
    """A hold as whoever took it has it: a `Hold` without its row, which the hot path has no use for."""

    purpose: Purpose
    attempt: Attempt
    bound: Decimal
    currency: str
    price_id: int
    rates: FixedRates

    @property
    def pk(self) -> UUID:
        return self.attempt.hold_id

    @property
    def tenant_id(self) -> UUID:
        return self.purpose.tenant_id

    @property
    def expires_at(self) -> datetime:
        return self.attempt.expires_at


def take(
    *,
    purpose: Purpose,
    attempt: int,
    provider: str,
    model: str,
    body_bytes: int,
    max_tokens: int,
    expires_at: datetime,
    now: datetime,
) -> Held:
    """Set aside the most that one attempt can cost, on every budget that it weighs on.

    It is committed when this returns, so never call it in a transaction. Raises NoPriceError,
    BudgetExhaustedError, BudgetBusyError, AttemptTakenError.
    """
    wanted = Attempt(attempt, provider, model, body_bytes, max_tokens, expires_at)
    row = ask(
        purpose,
        lambda: call_for_tenant(
            purpose.tenant_id,
            "costs_take_hold",
            wanted.hold_id,
            purpose.generation_id,
            attempt,
            provider,
            model,
            purpose.task_kind,
            purpose.account_id,
            purpose.campaign_id,
            purpose.user_id,
            body_bytes,
            max_tokens,
            purpose.occurred_at,
            expires_at,
            now,
        ),
    )
    return taken(row, purpose=purpose, attempt=wanted)


def settle(*, hold: Held, usage: Usage | None, now: datetime) -> LedgerEntry | None:
    """End a hold with what the attempt cost; with `usage` unknown, at its bound, marked as estimated.

    Only the first call counts. A later one that knows the usage of an attempt that was settled by estimate
    adds a correction. Returns the entry that was written, if any.
    """
    row = _settle(hold.tenant_id, hold.pk, charge(hold, usage), now=now)
    check_settled(row["outcome"], row["amount"], hold=hold)
    return None if row["outcome"] == "unchanged" else _entry(row, hold=hold, usage=usage)


def release(*, hold: Held, now: datetime) -> bool:
    """Give a hold back: the provider refused the attempt, or it was never sent. Whether it was still held."""
    (released,) = call_for_tenant(hold.tenant_id, "costs_release_hold", hold.pk, now).values()
    return bool(released)


def settle_abandoned(*, now: datetime, generation_id: UUID | None = None, limit: int = 500) -> int:
    """Settle by estimate the holds that nobody ended in time: their processes died. Returns how many."""
    with system_transaction():
        expired = Hold.objects.filter(state=HoldState.HELD, expires_at__lte=now)
        if generation_id is not None:
            expired = expired.filter(generation_id=generation_id)
        holds = list(expired.order_by("expires_at")[:limit])
    # Each by itself: two of them locked at a time could wait in a circle with a call that is being held.
    settled = (_settle(hold.tenant_id, hold.pk, _UNKNOWN, now=now) for hold in holds)
    return sum(row["outcome"] == "settled" for row in settled)


def last_attempt(*, tenant_id: UUID, generation_id: UUID) -> int:
    """The highest number of a generation's attempts so far; 0 if there is none."""
    with tenant_transaction(tenant_id):
        holds = Hold.objects.filter(generation_id=generation_id).order_by("-attempt")
        return holds.values_list("attempt", flat=True).first() or 0


def ask(purpose: Purpose, take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Call a function that takes a hold; on the first call of a period, give the budgets their counters.

    Seeding a counter needs alone the lock that taking a hold shares, so it is a transaction of its own, and
    we start again.
    """
    for _ in range(1 + _OPENINGS):
        row = take()
        if row["outcome"] != "no_counter":
            return row
        counters.open_period(tenant_id=purpose.tenant_id, at=purpose.occurred_at)
    raise RuntimeError(
        "The period that was opened isn't the one that PostgreSQL looks for: "
        "do its time zones differ from Python's?"
    )


def taken(row: Mapping[str, Any], *, purpose: Purpose, attempt: Attempt) -> Held:
    """The hold that a call of `costs_take_hold` took, with its price. Raises what `take` does."""
    match row["outcome"]:
        case "taken":
            return _held(row, purpose=purpose, attempt=attempt)
        case "no_price":
            raise NoPriceError(
                f"{attempt.model} at {attempt.provider} has no price, so it isn't called: "
                "enter one under Costs, Prices."
            )
        case "exhausted":
            raise BudgetExhaustedError(_ceiling(row, tenant_id=purpose.tenant_id))
        case "busy":
            raise BudgetBusyError(_ceiling(row, tenant_id=purpose.tenant_id))
    raise AttemptTakenError(f"Attempt {attempt.number} of {purpose.generation_id} is somebody else's.")


def charge(hold: Held, usage: Usage | None) -> Charge:
    """What `costs_settle_hold` is told of an attempt."""
    if usage is None:
        return _UNKNOWN
    amount = pricing.cost(usage=usage, rates=hold.rates)
    return usage.input_tokens, usage.cached_tokens, usage.output_tokens, amount


def check_settled(outcome: str, amount: Decimal | None, *, hold: Held) -> None:
    """What `costs_settle_hold` answered must be possible. Raises Hold.DoesNotExist."""
    if outcome == "missing":
        raise Hold.DoesNotExist(f"The tenant has no hold {hold.pk}.")
    if outcome == "settled" and amount is not None and amount > hold.bound:
        log.error("cost.above_bound", hold=str(hold.pk), amount=str(amount), bound=str(hold.bound))


def _settle(tenant_id: UUID, hold_id: UUID, charge: Charge, *, now: datetime) -> dict[str, Any]:
    return call_for_tenant(tenant_id, "costs_settle_hold", hold_id, *charge, now)


def _entry(row: Mapping[str, Any], *, hold: Held, usage: Usage | None) -> LedgerEntry:
    purpose, attempt = hold.purpose, hold.attempt
    return _known(
        LedgerEntry,
        id=row["entry_id"],
        tenant_id=purpose.tenant_id,
        occurred_at=purpose.occurred_at,
        generation_id=purpose.generation_id,
        attempt=attempt.number,
        sequence=int(row["outcome"] == "corrected"),
        provider=attempt.provider,
        model=attempt.model,
        task_kind=purpose.task_kind,
        account_id=purpose.account_id,
        campaign_id=purpose.campaign_id,
        user_id=purpose.user_id,
        price_id=hold.price_id,
        input_tokens=usage.input_tokens if usage else 0,
        cached_tokens=usage.cached_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        amount=row["amount"],
        currency=hold.currency,
        estimated=usage is None,
    )


def _held(row: Mapping[str, Any], *, purpose: Purpose, attempt: Attempt) -> Held:
    rates = FixedRates(row["input_per_million"], row["output_per_million"], row["cached_input_per_million"])
    return Held(purpose, attempt, row["bound"], row["currency"], row["price_id"], rates)


def _ceiling(row: Mapping[str, Any], *, tenant_id: UUID) -> Ceiling:
    budget = _known(
        Budget,
        id=row["budget_id"],
        tenant_id=tenant_id,
        limit=row["budget_limit"],
        currency=row["budget_currency"],
        period=row["budget_period"],
        scope=row["budget_scope"],
    )
    return Ceiling(budget=budget, spent=row["spent"], held=row["held"], needed=row["bound"])


def _known(model: type[_Row], /, **columns: Any) -> _Row:
    """A row of which we know these columns; the others are read when somebody asks for them."""
    names = _in_order(model, tuple(columns))
    return model.from_db(DEFAULT_DB_ALIAS, names, [columns[name] for name in names])


@cache
def _in_order(model: type[Model], columns: tuple[str, ...]) -> list[str]:
    return [each.attname for each in model._meta.concrete_fields if each.attname in columns]
