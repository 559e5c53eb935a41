"""Money set aside before a call to a provider, and what becomes of it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from django.db.models import F

from apps.costs import pricing
from apps.costs.locks import lock_budgets
from apps.costs.models import Budget, BudgetCounter, Hold, HoldState, LedgerEntry, Price
from apps.costs.periods import period_start
from apps.costs.pricing import Usage
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, Ceiling, NoPriceError
from apps.costs.services import budgets
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)


class _NoCounterError(Exception):
    """A budget has no counter for the period yet."""


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
) -> Hold:
    """Set aside the most that one attempt can cost, on every budget that it weighs on.

    It is committed when this returns, so never call it in a transaction. Raises NoPriceError,
    BudgetExhaustedError, BudgetBusyError.
    """
    while True:
        try:
            with tenant_transaction(purpose.tenant_id):
                lock_budgets(tenant_id=purpose.tenant_id, exclusive=False)
                price = _price(provider=provider, model=model, now=now)
                bound = pricing.bound(body_bytes=body_bytes, max_tokens=max_tokens, rates=price)
                return Hold.objects.create(
                    tenant_id=purpose.tenant_id,
                    generation_id=purpose.generation_id,
                    attempt=attempt,
                    provider=provider,
                    model=model,
                    task_kind=purpose.task_kind,
                    account_id=purpose.account_id,
                    campaign_id=purpose.campaign_id,
                    user_id=purpose.user_id,
                    price=price,
                    bound=bound,
                    currency=price.currency,
                    occurred_at=purpose.occurred_at,
                    expires_at=expires_at,
                    counters=_weigh(purpose, provider=provider, bound=bound),
                )
        except _NoCounterError:
            # The first call of a period. Seeding needs the lock that we hold shared, so it is a transaction
            # of its own, and we start again.
            budgets.open_period(tenant_id=purpose.tenant_id, at=purpose.occurred_at)


def settle(*, hold: Hold, usage: Usage | None, now: datetime) -> LedgerEntry | None:
    """End a hold with what the attempt cost; with `usage` unknown, at its bound, marked as estimated.

    Only the first call counts. A later one that knows the usage of an attempt that was settled by estimate
    adds a correction. Returns the entry that was written, if any.
    """
    with tenant_transaction(hold.tenant_id):
        return _settle(_lock(hold), usage=usage, now=now)


def release(*, hold: Hold, now: datetime) -> bool:
    """Give a hold back: the provider refused the attempt, or it was never sent. Whether it was still held."""
    with tenant_transaction(hold.tenant_id):
        hold = _lock(hold)
        if hold.state != HoldState.HELD:
            return False
        _end(hold, state=HoldState.RELEASED, spent=Decimal(0), now=now)
        return True


def settle_abandoned(*, now: datetime, generation_id: UUID | None = None, limit: int = 500) -> int:
    """Settle by estimate the holds that nobody ended in time: their processes died. Returns how many."""
    with system_transaction():
        expired = Hold.objects.filter(state=HoldState.HELD, expires_at__lte=now)
        if generation_id is not None:
            expired = expired.filter(generation_id=generation_id)
        holds = list(expired.order_by("expires_at")[:limit])
    # Each by itself: two of them locked at a time could wait in a circle with a call that is being held.
    return sum(settle(hold=hold, usage=None, now=now) is not None for hold in holds)


def last_attempt(*, tenant_id: UUID, generation_id: UUID) -> int:
    """The highest number of a generation's attempts so far; 0 if there is none."""
    with tenant_transaction(tenant_id):
        holds = Hold.objects.filter(generation_id=generation_id).order_by("-attempt")
        return holds.values_list("attempt", flat=True).first() or 0


def _price(*, provider: str, model: str, now: datetime) -> Price:
    price = Price.objects.in_force(provider=provider, model=model, at=now)
    if price is None:
        raise NoPriceError(
            f"{model} at {provider} has no price, so it isn't called: enter one under Costs, Prices."
        )
    return price


def _weigh(purpose: Purpose, *, provider: str, bound: Decimal) -> list[UUID]:
    """Add a bound to what every budget holds, each by one conditional UPDATE, always in the same order."""
    applicable = Budget.objects.filter(
        budgets.applies(
            account_id=purpose.account_id,
            campaign_id=purpose.campaign_id,
            user_id=purpose.user_id,
            provider=provider,
        ),
        tenant_id=purpose.tenant_id,
    )
    counters = []
    for budget, counter in sorted(_counters(list(applicable), purpose), key=lambda pair: pair[1].pk):
        room = BudgetCounter.objects.filter(pk=counter.pk)
        if budget.hard_stop:
            room = room.filter(spent__lte=budget.limit - bound - F("held"))
        if not room.update(held=F("held") + bound):
            raise _refusal(budget, counter, bound)
        counters.append(counter.pk)
    return counters


def _counters(applicable: list[Budget], purpose: Purpose) -> list[tuple[Budget, BudgetCounter]]:
    if not applicable:
        return []
    time_zone = Tenant.objects.values_list("time_zone", flat=True).get(pk=purpose.tenant_id)
    found = {
        (counter.budget_id, counter.period_start): counter
        for counter in BudgetCounter.objects.filter(budget__in=applicable)
    }
    try:
        return [
            (
                budget,
                found[budget.pk, period_start(budget.period, at=purpose.occurred_at, time_zone=time_zone)],
            )
            for budget in applicable
        ]
    except KeyError as error:
        raise _NoCounterError from error


def _refusal(
    budget: Budget, counter: BudgetCounter, bound: Decimal
) -> BudgetExhaustedError | BudgetBusyError:
    counter.refresh_from_db()
    ceiling = Ceiling(budget=budget, spent=counter.spent, held=counter.held, needed=bound)
    if counter.spent + bound > budget.limit:
        return BudgetExhaustedError(ceiling)
    return BudgetBusyError(ceiling)


def _lock(hold: Hold) -> Hold:
    """The hold as it is now, kept so; the tenant's lock keeps budgets from being seeded meanwhile."""
    lock_budgets(tenant_id=hold.tenant_id, exclusive=False)
    return Hold.objects.select_for_update(of=("self",)).select_related("price").get(pk=hold.pk)


def _settle(hold: Hold, *, usage: Usage | None, now: datetime) -> LedgerEntry | None:
    if hold.state == HoldState.HELD:
        amount = hold.bound if usage is None else pricing.cost(usage=usage, rates=hold.price)
        if amount > hold.bound:
            log.error("cost.above_bound", hold=str(hold.pk), amount=str(amount), bound=str(hold.bound))
        _end(hold, state=HoldState.SETTLED, spent=amount, now=now)
        return _enter(hold, usage=usage, amount=amount, sequence=0)
    if hold.state == HoldState.SETTLED and usage is not None:
        return _correct(hold, usage=usage)
    return None


def _correct(hold: Hold, *, usage: Usage) -> LedgerEntry | None:
    entries = LedgerEntry.objects.filter(
        occurred_at=hold.occurred_at, generation_id=hold.generation_id, attempt=hold.attempt
    )
    estimates = list(entries)
    if len(estimates) != 1 or not estimates[0].estimated:
        return None
    difference = pricing.cost(usage=usage, rates=hold.price) - estimates[0].amount
    _move(hold, spent=difference, held=Decimal(0))
    return _enter(hold, usage=usage, amount=difference, sequence=1)


def _end(hold: Hold, *, state: HoldState, spent: Decimal, now: datetime) -> None:
    _move(hold, spent=spent, held=-hold.bound)
    hold.state, hold.ended_at = state, now
    hold.save(update_fields=["state", "ended_at"])


def _move(hold: Hold, *, spent: Decimal, held: Decimal) -> None:
    # In the order in which holds are taken, so that none waits for another in a circle.
    for counter_id in sorted(hold.counters):
        BudgetCounter.objects.filter(pk=counter_id).update(spent=F("spent") + spent, held=F("held") + held)


def _enter(hold: Hold, *, usage: Usage | None, amount: Decimal, sequence: int) -> LedgerEntry:
    return LedgerEntry.objects.create(
        tenant_id=hold.tenant_id,
        occurred_at=hold.occurred_at,
        generation_id=hold.generation_id,
        attempt=hold.attempt,
        sequence=sequence,
        provider=hold.provider,
        model=hold.model,
        task_kind=hold.task_kind,
        account_id=hold.account_id,
        campaign_id=hold.campaign_id,
        user_id=hold.user_id,
        price=hold.price,
        input_tokens=usage.input_tokens if usage else 0,
        cached_tokens=usage.cached_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        amount=amount,
        currency=hold.currency,
        estimated=usage is None,
    )
