from datetime import datetime, timedelta

from django.utils import timezone

from apps.costs.services import holds, partitions, rollups
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
