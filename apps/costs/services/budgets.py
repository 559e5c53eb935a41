from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.common.errors import ConflictError, InvalidInputError, NotFoundError
from apps.common.money import LEDGER_CURRENCY
from apps.costs.locks import lock_budgets
from apps.costs.models import Budget, BudgetMode, BudgetPeriod, BudgetScope, scope_problems
from apps.costs.services import counters, rollups
from apps.costs.thresholds import threshold_problem
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant, validate_time_zone

ALREADY_THERE = "There is such a budget already; change its limit instead."
SWITCHED_OFF = "There is such a budget already, switched off: switch it on again instead."
BELOW_ZERO = "A limit isn't below zero."


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
    mode: BudgetMode = BudgetMode.STOP,
    thresholds: Sequence[int] = (50, 80, 100),
    is_active: bool = True,
) -> Budget:
    """Set a ceiling; what its current period has already spent and holds counts from the start.

    Raises InvalidInputError (it isn't in the ledger's currency, isn't for what its scope says, is for a
    provider that nobody calls, or its thresholds can't be), ConflictError (there is one already).
    """
    _check_limit(limit)
    if currency != LEDGER_CURRENCY:
        raise InvalidInputError(
            f"Budgets are in {LEDGER_CURRENCY}, like the ledger, not in {currency}.",
            fields={"currency": f"Use {LEDGER_CURRENCY}."},
        )
    if problems := scope_problems(scope=scope, scope_id=scope_id, provider=provider):
        raise InvalidInputError(next(iter(problems.values())), fields=problems)
    percentages = _in_order(thresholds)
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
                "mode": mode,
                "thresholds": percentages,
                "is_active": is_active,
            },
        )
        if not created:
            what = "provider" if provider else "period" if scope_id is None else "scope_id"
            text = ALREADY_THERE if budget.is_active else SWITCHED_OFF
            raise ConflictError(text, fields={what: text, "budget": str(budget.pk)})
        counters.seed(budget, at=now)
    return budget


def change_budget(
    *,
    budget: Budget,
    now: datetime,
    limit: Decimal | None = None,
    mode: BudgetMode | None = None,
    thresholds: Sequence[int] | None = None,
    is_active: bool | None = None,
) -> Budget:
    """Change what is given. A budget that is switched on again counts what was spent while it was off.

    With another limit, what shadow mode counts begins anew. Raises InvalidInputError.
    """
    if limit is not None:
        _check_limit(limit)
    given = {
        "limit": limit,
        "mode": mode,
        "thresholds": None if thresholds is None else _in_order(thresholds),
        "is_active": is_active,
    }
    with tenant_transaction(budget.tenant_id):
        lock_budgets(tenant_id=budget.tenant_id, exclusive=True)
        budget = Budget.objects.get(pk=budget.pk)
        before = {name: getattr(budget, name) for name in given}
        for name, value in given.items():
            if value is not None:
                setattr(budget, name, value)
        if any(getattr(budget, name) != value for name, value in before.items()):
            budget.changed_at = now
        budget.save()
        if budget.limit != before["limit"]:
            counters.count_shadow_anew(budget, at=now)
        if budget.is_active and not before["is_active"]:
            counters.seed_again(budget, at=now)
    return budget


def set_thresholds(
    *, tenant_id: UUID, thresholds: Sequence[int], now: datetime, budget_id: UUID | None = None
) -> int:
    """Give one budget these thresholds, or all that the tenant has: the number of budgets.

    Raises InvalidInputError, NotFoundError (the tenant has no such budget).
    """
    percentages = _in_order(thresholds)
    with tenant_transaction(tenant_id):
        lock_budgets(tenant_id=tenant_id, exclusive=True)  # or a change that read the old ones puts them back
        budgets = Budget.objects.filter(tenant_id=tenant_id)
        if budget_id is not None:
            budgets = budgets.filter(pk=budget_id)
        changed = budgets.update(thresholds=percentages, changed_at=now)
        if budget_id is not None and not changed:
            raise NotFoundError("There is no such budget.", fields={"budget": "There is no such budget."})
    return changed


def change_time_zone(*, tenant: Tenant, time_zone: str, now: datetime) -> None:
    """Move a tenant's calendar. Its budgets' and roll-ups' periods begin at other instants from then on."""
    validate_time_zone(time_zone)
    with tenant_transaction(tenant):
        # Before the lock that whoever asks the AI has to share, since it may take seconds.
        rollups.move_calendar(tenant_id=tenant.pk, time_zone=time_zone)
        lock_budgets(tenant_id=tenant.pk, exclusive=True)
        Tenant.objects.filter(pk=tenant.pk).update(time_zone=time_zone)
        for budget in Budget.objects.filter(tenant_id=tenant.pk, is_active=True):
            counters.seed_again(budget, at=now)
    tenant.time_zone = time_zone


def _check_limit(limit: Decimal) -> None:
    if limit < 0:
        raise InvalidInputError(BELOW_ZERO, fields={"limit": "Give zero or more."})


def _in_order(thresholds: Sequence[int]) -> list[int]:
    if problem := threshold_problem(thresholds):
        raise InvalidInputError(problem, fields={"thresholds": problem})
    return sorted(thresholds)
