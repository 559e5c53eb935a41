"""Scheduled jobs: each period runs once, and what died or failed is done again."""

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from apps.operations.models import JobRun, JobState
from apps.operations.services import jobs
from apps.tenants.system import system_transaction
from tests.costs.threads import at_once

NOW = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)
PERIOD = jobs.period_start(now=NOW, every=HOUR)
pytestmark = pytest.mark.django_db


def run(done: list[int], *, now: datetime = NOW, period: datetime = PERIOD) -> bool:
    return jobs.run_once(job="tasks.example", period=period, now=now, work=lambda: done.append(1))


def fail() -> NoReturn:
    raise ZeroDivisionError("it broke")


def try_and_fail(now: datetime = NOW) -> None:
    with pytest.raises(ZeroDivisionError):
        jobs.run_once(job="tasks.example", period=PERIOD, now=now, work=fail)


def only_run() -> JobRun:
    with system_transaction():
        return JobRun.objects.get()


def test_a_period_begins_where_the_clock_says() -> None:
    assert datetime(2026, 3, 1, 12, tzinfo=UTC) == PERIOD


def test_a_period_is_worked_once() -> None:
    done: list[int] = []
    assert [run(done), run(done), run(done, now=NOW + HOUR)] == [True, False, False]
    assert run(done, period=PERIOD + HOUR)
    assert len(done) == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_beats_at_once_one_has_the_work_done() -> None:
    done: list[int] = []
    assert sorted(at_once(8, lambda _: run(done))) == [False] * 7 + [True]
    assert len(done) == 1


@pytest.mark.django_db(transaction=True)
def test_a_failed_run_is_noted_and_done_again_by_one() -> None:
    try_and_fail()
    failed = only_run()
    assert (failed.state, failed.error) == (JobState.FAILED, "ZeroDivisionError: it broke")
    assert [row.pk for row in jobs.abandoned(now=NOW)] == [failed.pk]
    done: list[int] = []
    assert sorted(at_once(8, lambda _: run(done))) == [False] * 7 + [True]
    again = only_run()
    assert (again.state, again.attempts, again.error) == (JobState.DONE, 2, "")
    assert jobs.abandoned(now=NOW) == []


def test_a_run_whose_process_died_is_taken_over_after_its_lease() -> None:
    with system_transaction():
        JobRun.objects.create(
            job="tasks.example", period_start=PERIOD, started_at=NOW, lease_expires_at=NOW + jobs.LEASE
        )
    done: list[int] = []
    assert not run(done, now=NOW + jobs.LEASE - timedelta(seconds=1))
    assert jobs.abandoned(now=NOW + jobs.LEASE - timedelta(seconds=1)) == []
    assert len(jobs.abandoned(now=NOW + jobs.LEASE)) == 1
    assert run(done, now=NOW + jobs.LEASE)
    assert only_run().state == JobState.DONE


def test_who_was_taken_over_does_not_overwrite_the_successors_end() -> None:
    def outlive_the_lease() -> None:
        assert run([], now=NOW + jobs.LEASE)
        fail()

    with pytest.raises(ZeroDivisionError):
        jobs.run_once(job="tasks.example", period=PERIOD, now=NOW, work=outlive_the_lease)
    assert (only_run().state, only_run().attempts) == (JobState.DONE, 2)


def test_after_so_many_attempts_it_is_left_to_a_person() -> None:
    for _ in range(jobs.MAX_ATTEMPTS):
        try_and_fail()
    assert only_run().attempts == jobs.MAX_ATTEMPTS
    assert jobs.abandoned(now=NOW) == []
    assert not run([])
