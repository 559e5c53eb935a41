"""What a budget's periods have spent and hold: made at the first call, and anew with another calendar.

Whoever makes counters has the tenant's lock alone: until it ends, no hold is taken and none ends.
"""

from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import F, Func, Q, Value

from apps.costs import daily_spend
from apps.costs.locks import lock_budgets
from apps.costs.models import Budget, BudgetCounter, BudgetScope, Hold, HoldState
from apps.costs.periods import earliest_begin, first_day, last_day, period_bounds, period_start
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant

# What neither the ledger nor holds say: what shadow mode has counted, what corrections have raised of late.
_REMEMBERED = ["shadow_calls", "shadow_amount", "raised_at", "raised_by"]


def open_period(*, tenant_id: UUID, at: datetime) -> None:
    """Give every budget of a tenant its counter for the period of an instant, where it has none yet."""
    with tenant_transaction(tenant_id):
        lock_budgets(tenant_id=tenant_id, exclusive=True)
        zone = time_zone_of(tenant_id)
        for budget in Budget.objects.filter(tenant_id=tenant_id, is_active=True):
            start = period_start(budget.period, at=at, time_zone=zone)
            if not budget.counters.filter(period_start=start).exists():
                _make(budget, [start], time_zone=zone)


def seed(budget: Budget, *, at: datetime) -> None:
    """Make a budget's counter for the period of an instant, with what is spent and held in it."""
    zone = time_zone_of(budget.tenant_id)
    _make(budget, [period_start(budget.period, at=at, time_zone=zone)], time_zone=zone)


def seed_again(budget: Budget, *, at: datetime) -> None:
    """Make a budget's counters anew, of all the time that they reach back: a correction may move any of them.

    They may have been counted by another clock than the tenant's of now, and by which, nothing says. A hold
    may go on naming a counter that is gone; its end then finds nothing to move there.
    """
    zone = time_zone_of(budget.tenant_id)
    present = period_start(budget.period, at=at, time_zone=zone)
    before = {each.period_start: each for each in budget.counters.all()}
    kept = {start for start, each in before.items() if each.shadow_calls}
    budget.counters.all().delete()
    begin = earliest_begin(min([present, *before]))
    since = period_start(budget.period, at=begin, time_zone=zone)
    for each in _make(budget, {present, *kept}, since=since, time_zone=zone):
        if same := before.get(each.period_start):
            for name in _REMEMBERED:
                setattr(each, name, getattr(same, name))
            each.save(update_fields=_REMEMBERED)


def count_shadow_anew(budget: Budget, *, at: datetime) -> None:
    """What didn't fit the old limit might fit the new one. Earlier periods keep what they have counted."""
    start = period_start(budget.period, at=at, time_zone=time_zone_of(budget.tenant_id))
    budget.counters.filter(period_start=start).update(shadow_calls=0, shadow_amount=0)


def time_zone_of(tenant_id: UUID) -> str:
    return Tenant.objects.values_list("time_zone", flat=True).get(pk=tenant_id)


def _make(
    budget: Budget, starts: Collection[date], *, time_zone: str, since: date | None = None
) -> list[BudgetCounter]:
    """The counters of these periods, and of others from `since` on in which something is spent or held."""
    first, last = min([*starts, since or date.max]), last_day(budget.period, max(starts))
    spent = _spent(budget, since=first, until=last)
    live = _live(budget, since=first, until=last, time_zone=time_zone)
    counters = [
        BudgetCounter(
            tenant_id=budget.tenant_id,
            budget=budget,
            period_start=start,
            spent=spent.get(start, Decimal(0)),
            held=sum((hold.bound for hold in live.get(start, [])), Decimal(0)),
        )
        for start in sorted({*starts, *spent, *live})
    ]
    BudgetCounter.objects.bulk_create(counters)
    for counter in counters:
        if holds := live.get(counter.period_start):
            named = Func(F("counters"), Value(counter.pk), function="array_append")
            Hold.objects.filter(pk__in=[hold.pk for hold in holds]).update(counters=named)
    return counters


def _spent(budget: Budget, *, since: date, until: date) -> dict[date, Decimal]:
    found: dict[date, Decimal] = defaultdict(Decimal)
    for day, amount in daily_spend.of_budget(budget, since=since, until=until).items():
        found[first_day(budget.period, day)] += amount
    return found


def _live(budget: Budget, *, since: date, until: date, time_zone: str) -> dict[date, list[Hold]]:
    begin, _ = period_bounds(budget.period, start=since, time_zone=time_zone)
    _, end = period_bounds(budget.period, start=first_day(budget.period, until), time_zone=time_zone)
    within = Q(tenant_id=budget.tenant_id, occurred_at__gte=begin, occurred_at__lt=end)
    found: dict[date, list[Hold]] = defaultdict(list)
    for hold in Hold.objects.filter(_weighs_on(budget) & within, state=HoldState.HELD):
        found[period_start(budget.period, at=hold.occurred_at, time_zone=time_zone)].append(hold)
    return found


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
