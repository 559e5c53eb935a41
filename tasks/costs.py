from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from apps.costs.services import forecasts, holds, partitions, rollups, thresholds
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
def check_budgets(*, tenant_id: str) -> None:
    """Tell of a tenant's budgets that have just reached a threshold."""
    if thresholds.check_budgets(tenant_id=UUID(tenant_id), now=timezone.now()):
        hint_deliveries()


@app.task
def ensure_ledger_partitions(*, period: str | None = None) -> None:
    """Once a day: keep the ledger's partitions three months ahead."""
    now = timezone.now()

    def work() -> None:
        partitions.ensure_ledger_partitions(today=now.date())

    jobs.run_once(
        job="tasks.costs.ensure_ledger_partitions",
        period=datetime.fromisoformat(period)
        if period
        else jobs.period_start(now=now, every=timedelta(days=1)),
        now=now,
        work=work,
    )


@app.task(base=Tick)
def make_forecasts(*, period: str | None = None) -> None:
    """Once an hour: forecast what tenants will spend whose day has begun."""
    now = timezone.now()

    def work() -> None:
        forecasts.make_due_forecasts(now=now)

    jobs.run_once(
        job="tasks.costs.make_forecasts",
        period=datetime.fromisoformat(period)
        if period
        else jobs.period_start(now=now, every=timedelta(hours=1)),
        now=now,
        work=work,
    )
