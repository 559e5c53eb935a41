"""Queues, routes and schedule of the Celery app, and what its base task does with failures."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import redis
from billiard.einfo import ExceptionInfo
from celery.schedules import BaseSchedule, maybe_schedule
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from apps.operations.models import DeadLetter, DeadLetterState, JobRun, JobState
from apps.operations.services import dead_letters, jobs
from apps.tenants.system import system_transaction
from huntaze.celery import QUEUES, _broker_settings, app
from tasks.operations import HOUR, retry_abandoned_jobs
from tests.huntaze import unlucky_tasks
from tests.services import ROOT
from tests.waiting import wait_until

SECONDS = 30


@pytest.fixture(scope="module")
def names() -> list[str]:
    """Every task of the product."""
    app.loader.import_default_modules()
    unlucky = {task.name for task in vars(unlucky_tasks).values() if hasattr(task, "apply_async")}
    return [name for name in app.tasks if name.startswith("tasks.") and name not in unlucky]


def test_every_entry_of_the_schedule_names_a_task_that_there_is(names: list[str]) -> None:
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled - set(names) == set()


def test_every_entry_of_the_schedule_has_a_time_that_celery_understands() -> None:
    for entry in app.conf.beat_schedule.values():
        assert isinstance(maybe_schedule(entry["schedule"]), BaseSchedule)


def test_every_task_goes_to_a_queue_that_there_is(names: list[str]) -> None:
    assert names
    for name in names:
        assert app.amqp.router.route({}, name)["queue"].name in QUEUES


def test_a_task_goes_to_the_queue_that_its_module_is_named_after(names: list[str]) -> None:
    own = [name for name in names if name.split(".")[1] in QUEUES]
    assert own
    for name in own:
        assert app.amqp.router.route({}, name)["queue"].name == name.split(".")[1]
    sweep = app.amqp.router.route({}, "tasks.operations.retry_abandoned_jobs")
    assert sweep["queue"].name == "analytics"


@pytest.mark.parametrize("url", ["redis://localhost/0", "redis+socket:///run/redis.sock?virtual_host=0"])
def test_redis_gets_a_direct_exchange(url: str) -> None:
    made = _broker_settings(url)
    assert {queue.exchange.type for queue in made["task_queues"]} == {"direct"}
    assert all(not queue.queue_arguments for queue in made["task_queues"])
    assert made["broker_transport_options"]["visibility_timeout"] > 240


def test_rabbitmq_gets_quorum_queues_a_topic_exchange_and_confirms() -> None:
    made = _broker_settings("amqp://guest:guest@localhost//")
    assert {queue.exchange.type for queue in made["task_queues"]} == {"topic"}
    assert {queue.queue_arguments["x-queue-type"] for queue in made["task_queues"]} == {"quorum"}
    assert made["broker_transport_options"]["confirm_publish"]


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """A real worker on the real broker, which knows the unlucky tasks."""
    command = [sys.executable, "-m", "celery", "-A", "huntaze", "worker"]
    options = [
        "-I",
        "tests.huntaze.unlucky_tasks",
        "-Q",
        "analytics",
        "-P",
        "threads",
        "-c",
        "4",
        "--without-gossip",
        "--without-mingle",
    ]
    with subprocess.Popen([*command, *options], cwd=ROOT, env=os.environ) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def attempts(name: str) -> int:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        return int(client.get(f"unlucky:{name}") or 0)


def letters() -> list[DeadLetter]:
    with system_transaction():
        return list(DeadLetter.objects.order_by("task"))


def send(task: Any) -> str:
    name = str(uuid4())
    task.delay(letter_id=name)
    return name


def test_failures_are_retried_if_that_can_help_and_kept_once_if_it_did_not(worker: None) -> None:
    never, later, defect, tick = (
        send(task)
        for task in (
            unlucky_tasks.never_works,
            unlucky_tasks.works_in_the_end,
            unlucky_tasks.has_a_defect,
            unlucky_tasks.tick_that_fails,
        )
    )
    wait_until(lambda: len(letters()) == 2, seconds=SECONDS, what="two dead letters")
    wait_until(lambda: attempts(later) == 3, seconds=SECONDS, what="the third attempt")
    wait_until(lambda: attempts(tick) == 1, seconds=SECONDS, what="the tick")

    broken, dead = letters()
    assert (broken.task, broken.attempts, attempts(defect)) == ("tasks.analytics.has_a_defect", 1, 1)
    assert (dead.task, dead.attempts, attempts(never)) == ("tasks.analytics.never_works", 3, 3)
    assert (dead.queue, dead.kwargs, dead.state) == ("analytics", {"letter_id": never}, DeadLetterState.OPEN)
    assert dead.error == "ConnectionError: nobody there"
    assert "never_works" in dead.traceback


def test_without_the_database_a_failed_task_leaves_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(dead_letters, "record", fail)
    try:
        unlucky_tasks.has_a_defect.run(letter_id="17")
    except ZeroDivisionError as error:
        unlucky_tasks.has_a_defect.on_failure(error, "1", (), {"letter_id": "17"}, ExceptionInfo())
    assert "dead_letter.lost" in caplog.text
    assert "17" in caplog.text


def test_a_second_delivery_of_a_failed_task_keeps_no_second_letter(worker: None) -> None:
    name, task_id = str(uuid4()), str(uuid4())
    for delivery in (1, 2):
        unlucky_tasks.has_a_defect.apply_async(kwargs={"letter_id": name}, task_id=task_id)
        wait_until(lambda: attempts(name) == delivery, seconds=SECONDS, what="the delivery")  # noqa: B023
    # Another task's letter shows that the second delivery is over.
    send(unlucky_tasks.has_a_defect)
    wait_until(lambda: len(letters()) == 2, seconds=SECONDS, what="the other task's letter")
    assert sum(letter.task_id == task_id for letter in letters()) == 1


def test_a_task_belongs_to_the_trace_of_who_sent_it(worker: None) -> None:
    here = SpanContext(
        trace_id=0x0AF7651916CD43DD8448EB211C80319C, span_id=0xB7AD6B7169203331, is_remote=False
    )
    with use_span(NonRecordingSpan(here)):
        name = send(unlucky_tasks.sees_its_trace)

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        wait_until(lambda: bool(client.exists(f"trace:{name}")), seconds=SECONDS, what="the task")
        assert client.get(f"trace:{name}") == b"0af7651916cd43dd8448eb211c80319c"


def test_abandoned_jobs_are_sent_again_by_their_name(worker: None) -> None:
    now = timezone.now()
    yesterday = jobs.period_start(now=now - timedelta(days=1), every=HOUR)
    with system_transaction():
        run = JobRun.objects.create(
            job="tasks.operations.purge_idempotency_records",
            period_start=yesterday,
            started_at=now - timedelta(days=1),
            lease_expires_at=now - timedelta(hours=23),
        )
    retry_abandoned_jobs()

    def is_done() -> bool:
        with system_transaction():
            return JobRun.objects.get(pk=run.pk).state == JobState.DONE

    wait_until(is_done, seconds=SECONDS, what="the job of yesterday")
    with system_transaction():
        assert JobRun.objects.get().attempts == 2
