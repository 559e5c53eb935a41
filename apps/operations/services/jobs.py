"""Scheduled jobs: each period runs once, however many beats and workers there are."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from apps.operations.models import JobRun, JobState
from apps.tenants.system import system_transaction

LEASE = timedelta(minutes=10)
MAX_ATTEMPTS = 5


def period_start(*, now: datetime, every: timedelta) -> datetime:
    """The first instant of the period that `now` falls into, counted from the epoch in UTC."""
    seconds = every.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, tz=now.tzinfo)


def run_once(*, job: str, period: datetime, now: datetime, work: Callable[[], None]) -> bool:
    """Do `work` unless this period of the job is done or in hand. Returns whether it was done here.

    A run whose lease has expired (its process died), or that failed, is taken over. `work` must bear being
    done again from the start, since a process may die between its end and our note of it.
    """
    run = _claim(job=job, period=period, now=now)
    if run is None:
        return False
    try:
        work()
    except Exception as error:
        _finish(run, state=JobState.FAILED, now=now, error=f"{type(error).__name__}: {error}")
        raise
    _finish(run, state=JobState.DONE, now=now)
    return True


def abandoned(*, now: datetime) -> list[JobRun]:
    """Runs that somebody should do again: dead or failed, with attempts left."""
    with system_transaction():
        return list(JobRun.objects.filter(_claimable(now)).order_by("id")[:100])


def _claimable(now: datetime) -> Q:
    dead = Q(state=JobState.RUNNING, lease_expires_at__lte=now)
    return (dead | Q(state=JobState.FAILED)) & Q(attempts__lt=MAX_ATTEMPTS)


def _claim(*, job: str, period: datetime, now: datetime) -> JobRun | None:
    fields = {"state": JobState.RUNNING, "started_at": now, "lease_expires_at": now + LEASE}
    with system_transaction():
        try:
            with transaction.atomic():
                return JobRun.objects.create(job=job, period_start=period, **fields)
        except IntegrityError:
            same = JobRun.objects.filter(job=job, period_start=period)
            taken = same.filter(_claimable(now)).update(
                **fields, attempts=F("attempts") + 1, finished_at=None, error=""
            )
            return same.get() if taken else None


def _finish(run: JobRun, *, state: JobState, now: datetime, error: str = "") -> None:
    with system_transaction():
        # Only the attempt that we claimed: a successor may have taken over meanwhile.
        JobRun.objects.filter(pk=run.pk, attempts=run.attempts, state=JobState.RUNNING).update(
            state=state, finished_at=max(now, run.started_at), error=error
        )
