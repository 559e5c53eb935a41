"""The Celery app: queues, routes, settings and the beat schedule.

A task is only a hint: the row in PostgreSQL says what is to be done. So nothing here needs a result backend,
an ETA or exactly-once delivery, and losing the whole broker costs no more than the seconds until a sweep.
"""

import logging.config
import os
from datetime import timedelta
from functools import lru_cache
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep
from kombu import Exchange, Queue

import huntaze.collector
import huntaze.readiness
import huntaze.scraping
import huntaze.tracing  # noqa: F401 -- all of them connect signals
from huntaze.broker import Amqp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")

QUEUES = ("ai", "campaigns", "dispatch", "costs", "notifications", "analytics")
# The longest task: a background generation may retry for four minutes.
VISIBILITY_TIMEOUT_S = 600


app = Celery("huntaze", task_cls="tasks.base:Task", amqp=Amqp)
# On every thread: whoever may not import this module finds the app as Celery's current one.
app.set_default()
app.steps["worker"].add(DjangoStructLogInitStep)


@lru_cache(maxsize=4)
def _broker_settings(url: str) -> dict[str, Any]:
    if url.startswith("amqp"):
        exchange = Exchange("huntaze", type="topic", durable=True)
        arguments = {"x-queue-type": "quorum"}
        transport: dict[str, Any] = {"confirm_publish": True}
    else:
        # Direct, since kombu silently drops what goes through a topic exchange after a FLUSHALL.
        exchange = Exchange("huntaze", type="direct", durable=True)
        arguments = {}
        transport = {
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            "health_check_interval": 10,
            "socket_connect_timeout": 2,
        }
    queues = [Queue(name, exchange, routing_key=name, queue_arguments=arguments) for name in QUEUES]
    return {"broker_url": url, "broker_transport_options": transport, "task_queues": queues}


def _route(name: str, *_: object, **__: object) -> dict[str, str] | None:
    """tasks.<queue>.<task> goes to its queue; housekeeping shares the one for analytics."""
    package, _dot, rest = name.partition(".")
    module = rest.partition(".")[0]
    if package != "tasks":
        return None
    queue = module if module in QUEUES else "analytics"
    return {"queue": queue, "routing_key": queue}


def _every(interval: timedelta, task: str, **kwargs: str) -> dict[str, Any]:
    """A tick: it expires when the next one is due, so that a stopped worker finds no heap of them."""
    options = {"expires": interval.total_seconds()}
    return {"task": task, "schedule": interval, "options": options, "kwargs": kwargs}


def _schedule(sweep: timedelta) -> dict[str, Any]:
    return {
        "dispatch.claim": _every(timedelta(seconds=1), "tasks.dispatch.claim_due_messages"),
        "dispatch.recover": _every(timedelta(seconds=2), "tasks.dispatch.recover_messages"),
        "dispatch.sweep": _every(sweep, "tasks.dispatch.sweep_messages"),
        "ai.sweep": _every(sweep, "tasks.ai.sweep_generations"),
        "ai.optimisation": _every(sweep, "tasks.ai.sweep_optimisation"),
        "ai.analyses": {
            "task": "tasks.ai.plan_analyses",
            "schedule": crontab(hour="2-23/6", minute="15"),
        },
        "ai.measurements": {
            "task": "tasks.ai.measure_recommendations",
            "schedule": crontab(hour="2-23/6", minute="45"),
        },
        "campaigns.sweep": _every(min(sweep, timedelta(seconds=5)), "tasks.campaigns.sweep_campaigns"),
        "costs.sweep": _every(sweep, "tasks.costs.settle_abandoned_holds"),
        "costs.rollups": _every(timedelta(minutes=1), "tasks.costs.roll_up_ledger"),
        "costs.corrections": _every(sweep, "tasks.costs.enter_corrections"),
        "costs.rules": _every(sweep, "tasks.costs.evaluate_rules"),
        "costs.partitions": {
            "task": "tasks.costs.ensure_ledger_partitions",
            "schedule": crontab(hour="*/6", minute="5"),
        },
        "costs.retention": {
            "task": "tasks.costs.forget_old_entries",
            "schedule": crontab(hour="*/6", minute="35"),
        },
        "costs.forecasts": {"task": "tasks.costs.make_forecasts", "schedule": crontab(minute="45")},
        **{
            f"notifications.{channel}": _every(
                timedelta(seconds=5), "tasks.notifications.send_due", channel=channel
            )
            for channel in ("email", "slack", "webhook")
        },
        "operations.archive": _every(sweep, "tasks.operations.archive_messages"),
        "operations.sweep": _every(timedelta(minutes=1), "tasks.operations.retry_abandoned_jobs"),
        "operations.purge": {
            "task": "tasks.operations.purge_idempotency_records",
            "schedule": crontab(minute="30"),
        },
    }


class _FromSettings:
    """What depends on Django's settings, read at first use: importing this package must not load them."""

    def __getattr__(self, name: str) -> Any:
        if name == "beat_schedule":
            return _schedule(settings.SWEEP_INTERVAL)
        try:
            return _broker_settings(settings.CELERY_BROKER_URL)[name]
        except KeyError:
            raise AttributeError(name) from None

    def __dir__(self) -> list[str]:
        return ["beat_schedule", "broker_url", "broker_transport_options", "task_queues"]


from_settings = _FromSettings()
app.config_from_object("huntaze.celery:from_settings")
app.conf.update(
    task_default_queue="analytics",
    task_create_missing_queues=False,
    task_routes=(_route,),
    # Taken again if the worker dies; services guard by state, so twice does no harm.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    task_track_started=False,
    task_send_sent_event=False,
    task_publish_retry_policy={
        "max_retries": 3,
        "interval_start": 0.1,
        "interval_step": 0.3,
        "interval_max": 1,
    },
    # One task per thread in hand, none hoarded.
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
    worker_consumer="huntaze.broker:Consumer",
    worker_hijack_root_logger=False,
    # A thread can't be cancelled, and its outcome still counts after a reconnect.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_connection_timeout=4,
    broker_pool_acquire_timeout=10,
    broker_pool_limit=20,
    enable_utc=True,
    timezone="UTC",
    beat_max_loop_interval=1,
)
app.conf.imports = [f"tasks.{name}" for name in (*QUEUES, "operations")]


@setup_logging.connect
def _use_the_settings_of_django(**_: object) -> None:
    logging.config.dictConfig(settings.LOGGING)
