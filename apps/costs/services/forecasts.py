"""What each tenant's month and budgets will come to, once on each of its days (docs/forecast.md)."""

from datetime import date, datetime, timedelta

import structlog
from django.db import connection

from apps.common.connections import give_back_connection
from apps.costs.models import Forecast
from apps.costs.periods import period_bounds, period_start
from apps.costs.services import forecast_rows
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# What was asked before midnight may be settled so long after it; then a day begins here.
SETTLED_LATE = timedelta(minutes=30)
# How long forecasts are kept, to be compared with what came.
KEPT = timedelta(days=400)


def make_due_forecasts(*, now: datetime) -> int:
    """Make the forecasts of the tenants whose day has begun and that have none of it: their number.

    Each is by itself: one that fails keeps no other from its turn, and an ExceptionGroup says so at the end.
    """
    made, failures = 0, []
    due = _due(now)
    for tenant in due:
        try:
            # Somebody else may have made it while we were busy with those before.
            if not _is_made(tenant, now):
                make_forecast(tenant=tenant, now=now)
                made += 1
        except Exception as error:
            log.exception("forecast.failed", tenant_id=str(tenant.pk))
            failures.append(error)
    if failures:
        raise ExceptionGroup(
            f"{len(failures)} of {len(due)} forecasts failed, first: {failures[0]}", failures
        )
    return made


def make_forecast(*, tenant: Tenant, now: datetime) -> Forecast:
    """Make a tenant's forecast as of now, in the place of an earlier one of the same day.

    It takes a second or a few, in which no transaction is open. What was spent is read first, and the row
    written last; killed in between, it leaves nothing.
    """
    with tenant_transaction(tenant):
        spend = forecast_rows.read_spend(tenant_id=tenant.pk, today=_today(tenant, now))
    if not connection.in_atomic_block:
        give_back_connection()
    values = forecast_rows.columns(spend=spend, now=now)
    with tenant_transaction(tenant):
        forecast, _ = Forecast.objects.update_or_create(
            tenant_id=tenant.pk, made_on=spend.today, defaults=values
        )
        Forecast.objects.filter(tenant_id=tenant.pk, made_on__lt=spend.today - KEPT).delete()
    log.info("forecast.made", tenant_id=str(tenant.pk), method=forecast.method)
    return forecast


def _due(now: datetime) -> list[Tenant]:
    with system_transaction():
        tenants = list(Tenant.objects.order_by("id"))
        recent = Forecast.objects.filter(made_on__gte=(now - timedelta(days=2)).date())
        made = set(recent.values_list("tenant_id", "made_on"))
    return [
        tenant
        for tenant in tenants
        if (tenant.pk, _today(tenant, now)) not in made and _has_begun(tenant, now)
    ]


def _has_begun(tenant: Tenant, now: datetime) -> bool:
    midnight, _ = period_bounds("day", start=_today(tenant, now), time_zone=tenant.time_zone)
    return now >= midnight + SETTLED_LATE


def _is_made(tenant: Tenant, now: datetime) -> bool:
    with tenant_transaction(tenant):
        return Forecast.objects.filter(tenant_id=tenant.pk, made_on=_today(tenant, now)).exists()


def _today(tenant: Tenant, now: datetime) -> date:
    return period_start("day", at=now, time_zone=tenant.time_zone)
