"""Housekeeping; it shares the queue `analytics`.

A scheduled job bears the name of its task, and its task takes the `period` that it is for (ISO 8601; without
it, the present one), so that `retry_abandoned_jobs` can send it again.
"""

from datetime import datetime, timedelta

from django.utils import timezone

from apps.messaging.services import archive
from apps.operations.services import housekeeping, jobs
from huntaze.celery import app
from tasks.base import Tick

HOUR = timedelta(hours=1)


@app.task(base=Tick)
def retry_abandoned_jobs() -> None:
    """Send the tasks of scheduled jobs again whose process died or failed."""
    for run in jobs.abandoned(now=timezone.now()):
        app.send_task(run.job, kwargs={"period": run.period_start.isoformat()})


@app.task(base=Tick)
def archive_messages() -> None:
    """Move what has been sent long enough ago out of the dispatcher's way."""
    archive.archive_messages(now=timezone.now())


@app.task
def purge_idempotency_records(*, period: str | None = None) -> None:
    """Forget the Idempotency-Keys of more than a day ago, once an hour."""
    now = timezone.now()
    jobs.run_once(
        job="tasks.operations.purge_idempotency_records",
        period=datetime.fromisoformat(period) if period else jobs.period_start(now=now, every=HOUR),
        now=now,
        work=lambda: _purge(now),
    )


def _purge(now: datetime) -> None:
    housekeeping.purge_idempotency_records(now=now)
