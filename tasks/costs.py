from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.costs.services import corrections, forecasts, holds, partitions, retention, rollups, thresholds
from apps.notifications.hints import hint_deliveries
from apps.notifications.services import rules
from apps.operations.services import jobs
from huntaze.celery import app
from tasks.base import Tick


@app.task(base=Tick)
def settle_abandoned_holds() -> None:
    """Settle, by estimate, what processes that died had in flight."""
    holds.settle_abandoned(now=timezone.now())


@app.task(base=Tick)
def roll_up_ledger() -> None:
    """Take the ledger's new entries into its roll-ups."""
    rollups.roll_up()


@app.task(base=Tick)
def evaluate_rules() -> None:
    """Raise the alerts that the apps' rules find reason for."""
    if rules.evaluate_rules(now=timezone.now()):
        hint_deliveries()


@app.task(base=Tick)
def enter_corrections() -> None:
    """Enter what was planned by providers' bills; each tick goes on where one was killed."""
    corrections.enter_corrections(now=timezone.now())


@app.task(base=Tick)
def check_budgets(*, tenant_id: str) -> None:
    """Tell of a tenant's budgets that have just reached a threshold."""
    if thresholds.check_budgets(tenant_id=UUID(tenant_id), now=timezone.now()):
        hint_deliveries()


@app.task
def ensure_ledger_partitions(*, period: str | None = None) -> None:
    """Once a day: keep the ledger's partitions three months ahead."""
    now = timezone.now()
    _once("ensure_ledger_partitions", period, timedelta(days=1), now, lambda: _make_partitions(now))


@app.task
def forget_old_entries(*, period: str | None = None) -> None:
    """Four times a day: drop the months of the ledger that are older than is kept, and their holds."""
    now = timezone.now()
    _once("forget_old_entries", period, timedelta(hours=6), now, lambda: _forget(now))


@app.task(base=Tick)
def make_forecasts(*, period: str | None = None) -> None:
    """Once an hour: forecast what tenants will spend whose day has begun."""
    now = timezone.now()
    _once("make_forecasts", period, timedelta(hours=1), now, lambda: _forecast(now))


def _make_partitions(now: datetime) -> None:
    partitions.ensure_ledger_partitions(today=now.date())


def _forget(now: datetime) -> None:
    retention.forget(now=now, months=settings.LEDGER_RETENTION)


def _forecast(now: datetime) -> None:
    forecasts.make_due_forecasts(now=now)


def _once(name: str, period: str | None, every: timedelta, now: datetime, work: Callable[[], None]) -> None:
    """Do a period's work unless somebody has; without a period, the present one's."""
    begins = datetime.fromisoformat(period) if period else jobs.period_start(now=now, every=every)
    jobs.run_once(job=f"tasks.costs.{name}", period=begins, now=now, work=work)
