"""What applied recommendations have saved since, against what they promised."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.ai.models import Recommendation, Status
from apps.ai.optimisation.facts import span_of
from apps.ai.optimisation.measurement import LEAST_CALLS, Calls, saved
from apps.ai.services.usage import WINDOW, calls_of, first_asked
from apps.tenants.doors import tenant_transaction
from apps.tenants.system import system_transaction


def measure_applied(*, now: datetime) -> int:
    """Measure every applied recommendation. Returns how many there are."""
    with system_transaction():
        applied = Recommendation.objects.filter(status=Status.APPLIED).order_by("id")
        rows = list(applied.values_list("pk", "tenant_id"))
    for recommendation_id, tenant_id in rows:
        measure(recommendation_id=recommendation_id, tenant_id=tenant_id, now=now)
    return len(rows)


def measure(*, recommendation_id: UUID, tenant_id: UUID, now: datetime) -> None:
    """Measure one, if it still is applied. The same day again gives the same, with the day's new calls."""
    with tenant_transaction(tenant_id):
        mine = Recommendation.objects.filter(pk=recommendation_id, status=Status.APPLIED)
        row = mine.select_for_update().first()
        if row is not None:
            mine.update(**measured(row, now=now))


def baseline_of(row: Recommendation, *, now: datetime) -> tuple[int, Decimal, datetime | None]:
    """How many questions of its kind the last 30 days had, what they cost, and when the first of any came.

    Of any kind, as an analysis has it: what it expects of a month is what it saw, by the span of all.
    """
    calls = calls_of(task_kind=row.task_kind, tenant_id=row.tenant_id, since=now - WINDOW, until=now)
    return calls.number, calls.cost, first_asked(tenant_id=row.tenant_id, since=now - WINDOW)


def measured(row: Recommendation, *, now: datetime) -> dict[str, Any]:
    """The columns of a measurement until now. Runs in the caller's transaction of the tenant."""
    assert row.applied_at is not None  # a constraint says so
    since = calls_of(task_kind=row.task_kind, tenant_id=row.tenant_id, since=row.applied_at, until=now)
    # Anew, since a bill may have corrected estimates of these days, too.
    number, cost, first = baseline_of(row, now=row.applied_at)
    before, span = Calls(number, cost), span_of(first=first, now=row.applied_at, window=WINDOW)
    found = saved(before=before, span=span, since=since, monthly_saving=row.monthly_saving)
    remark = row.remark
    if found is None:
        remark = (
            f"Not enough calls yet: {before.number} in the 30 days before and {since.number} since, and "
            f"{LEAST_CALLS} are needed of both."
        )
    elif row.measured_saving is None:
        remark = ""
    return {
        "baseline_calls": number,
        "baseline_cost": cost,
        "baseline_since": first,
        "measured_at": now,
        "measured_calls": since.number,
        "measured_cost": since.cost,
        "measured_saving": found.measured if found else None,
        "predicted_saving": found.predicted if found else None,
        "remark": remark,
    }
