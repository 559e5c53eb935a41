from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Func, Q, Sum, Value

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.money import LEDGER_CURRENCY
from apps.costs.locks import lock_budgets
from apps.costs.models import (
    Budget,
    BudgetCounter,
    BudgetPeriod,
    BudgetScope,
    Hold,
    HoldState,
    LedgerEntry,
    provider_problem,
)
from apps.costs.periods import period_bounds, period_start
from apps.costs.services import rollups
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant, validate_time_zone


def create_budget(
    *,
    tenant_id: UUID,
    limit: Decimal,
    now: datetime,
    scope: BudgetScope = BudgetScope.TENANT,
    scope_id: UUID | None = None,
    provider: str = "",
    period: BudgetPeriod = BudgetPeriod.MONTH,
    currency: str = LEDGER_CURRENCY,
    hard_stop: bool = True,
    thresholds: Sequence[int] = (50, 80, 100),
) -> Budget:
    """Set a ceiling; what its current period has already spent and holds counts from the start.

    Raises InvalidInputError (it isn't in the ledger's currency, or for a provider that nobody calls),
    ConflictError (there is one already).
    """
    if currency != LEDGER_CURRENCY:
        raise InvalidInputError(
            f"Budgets are in {LEDGER_CURRENCY}, like the ledger, not in {currency}.",
            fields={"currency": f"Use {LEDGER_CURRENCY}."},
        )
    if problem := provider_problem(scope=scope, provider=provider):
        raise InvalidInputError(problem, fields={"provider": problem})
    with tenant_transaction(tenant_id):
        lock_budgets(tenant_id=tenant_id, exclusive=True)
        budget, created = Budget.objects.get_or_create(
            tenant_id=tenant_id,
            scope=scope,
            scope_id=scope_id,
            provider=provider,
            period=period,
            defaults={
                "limit": limit,
                "currency": currency,
                "hard_stop": hard_stop,
                "thresholds": list(thresholds),
            },
        )
        if not created:
            raise ConflictError("There is such a budget already; change its limit instead.")
        _seed(budget, at=now)
    return budget


def change_budget(
    *,
    budget: Budget,
    now: datetime,
    limit: Decimal | None = None,
    hard_stop: bool | None = None,
    thresholds: Sequence[int] | None = None,
    is_active: bool | None = None,
) -> Budget:
    """Change what is given. A budget that is switched on again counts what was spent while it was off."""
    with tenant_transaction(budget.tenant_id):
        lock_budgets(tenant_id=budget.tenant_id, exclusive=True)
        budget = Budget.objects.get(pk=budget.pk)
        switched_on = bool(is_active) and not budget.is_active
        if limit is not None:
            budget.limit = limit
        if hard_stop is not None:
            budget.hard_stop = hard_stop
        if thresholds is not None:
            budget.thresholds = list(thresholds)
        if is_active is not None:
            budget.is_active = is_active
        budget.save()
        if switched_on:
            _seed_again(budget, at=now)
    return budget


def change_time_zone(*, tenant: Tenant, time_zone: str, now: datetime) -> None:
    """Move a tenant's calendar. Its budgets' and roll-ups' periods begin at other instants from then on."""
    validate_time_zone(time_zone)
    with tenant_transaction(tenant):
        # Before the lock that whoever asks the AI has to share, since it may take seconds.
        rollups.move_calendar(tenant_id=tenant.pk, time_zone=time_zone)
        lock_budgets(tenant_id=tenant.pk, exclusive=True)
        Tenant.objects.filter(pk=tenant.pk).update(time_zone=time_zone)
        for budget in Budget.objects.filter(tenant_id=tenant.pk, is_active=True):
            _seed_again(budget, at=now)
    tenant.time_zone = time_zone


def open_period(*, tenant_id: UUID, at: datetime) -> None:
    """Give every budget of a tenant its counter for the period of an instant, where it has none yet."""
    with tenant_transaction(tenant_id):
        lock_budgets(tenant_id=tenant_id, exclusive=True)
        time_zone = Tenant.objects.values_list("time_zone", flat=True).get(pk=tenant_id)
        for budget in Budget.objects.filter(tenant_id=tenant_id, is_active=True):
            start = period_start(budget.period, at=at, time_zone=time_zone)
            if not budget.counters.filter(period_start=start).exists():
                _seed(budget, at=at)


def applies(*, account_id: UUID | None, campaign_id: UUID | None, user_id: UUID | None, provider: str) -> Q:
    """Which budgets a call weighs on."""
    by_scope = Q(scope=BudgetScope.TENANT) | Q(scope=BudgetScope.PROVIDER, provider=provider)
    ids = {BudgetScope.ACCOUNT: account_id, BudgetScope.CAMPAIGN: campaign_id, BudgetScope.USER: user_id}
    for scope, value in ids.items():
        if value is not None:
            by_scope |= Q(scope=scope, scope_id=value)
    return by_scope & Q(is_active=True)


def _seed_again(budget: Budget, *, at: datetime) -> None:
    # A hold may go on naming a counter that is gone; its settlement then finds nothing to move there.
    budget.counters.all().delete()
    _seed(budget, at=at)


def _seed(budget: Budget, *, at: datetime) -> None:
    """Make a budget's counter for the period of `at`, with what is spent and held in it.

    Needs the tenant's lock, exclusively: while we have it, no hold is taken and none ends.
    """
    time_zone = Tenant.objects.values_list("time_zone", flat=True).get(pk=budget.tenant_id)
    start = period_start(budget.period, at=at, time_zone=time_zone)
    since, until = period_bounds(budget.period, start=start, time_zone=time_zone)
    within = _weighs_on(budget) & Q(tenant_id=budget.tenant_id, occurred_at__gte=since, occurred_at__lt=until)
    live = Hold.objects.filter(within, state=HoldState.HELD)
    held = live.aggregate(bound=Sum("bound"))["bound"]
    spent = LedgerEntry.objects.filter(within).aggregate(amount=Sum("amount"))["amount"]
    counter = BudgetCounter.objects.create(
        tenant_id=budget.tenant_id,
        budget=budget,
        period_start=start,
        spent=spent or Decimal(0),
        held=held or Decimal(0),
    )
    live.update(counters=Func(F("counters"), Value(counter.pk), function="array_append"))


def _weighs_on(budget: Budget) -> Q:
    match budget.scope:
        case BudgetScope.ACCOUNT:
            return Q(account_id=budget.scope_id)
        case BudgetScope.CAMPAIGN:
            return Q(campaign_id=budget.scope_id)
        case BudgetScope.USER:
            return Q(user_id=budget.scope_id)
        case BudgetScope.PROVIDER:
            return Q(provider=budget.provider)
    return Q()
