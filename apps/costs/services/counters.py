"""The budgets' counters that a late correction concerns."""

from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.db.models import F

from apps.costs.locks import lock_budgets
from apps.costs.models import BudgetCounter

# Those of the budgets that there are by now, in the period of the hold's `occurred_at`, and those that the
# hold names: the same, but for budgets that were made or seeded anew since its call.
_CONCERNED = """
SELECT counter.id, counter.id = ANY (hold.counters)
FROM costs_hold AS hold
JOIN tenants_tenant AS tenant ON tenant.id = hold.tenant_id
JOIN costs_budget AS budget ON budget.tenant_id = hold.tenant_id
JOIN costs_budgetcounter AS counter ON counter.budget_id = budget.id
WHERE hold.id = %s AND (
    counter.id = ANY (hold.counters)
    OR budget.is_active
        AND counter.period_start = costs_period_start(budget.period, hold.occurred_at, tenant.time_zone)
        AND (budget.scope = 'tenant'
            OR budget.scope = 'provider' AND budget.provider = hold.provider
            OR budget.scope = 'account' AND budget.scope_id = hold.account_id
            OR budget.scope = 'campaign' AND budget.scope_id = hold.campaign_id
            OR budget.scope = 'user' AND budget.scope_id = hold.user_id)
)
ORDER BY counter.id FOR UPDATE OF counter
"""


def lock_unnamed(*, tenant_id: UUID, hold_id: UUID) -> list[UUID]:
    """Lock all counters that a hold's correction concerns; returns those that the hold doesn't name.

    `costs_settle_hold` moves the named ones. What it locks is locked here first, in its order:
    the tenant's lock, then the counters by id.
    """
    lock_budgets(tenant_id=tenant_id, exclusive=False)
    with connection.cursor() as cursor:
        cursor.execute(_CONCERNED, [hold_id])
        return [counter for counter, named in cursor.fetchall() if not named]


def move(counters: list[UUID], *, by: Decimal) -> None:
    """Add to what locked counters have spent."""
    BudgetCounter.objects.filter(pk__in=counters).update(spent=F("spent") + by)
