"""Prometheus figures: those that processes count, and those that only the database and the broker know."""

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import kombu
import psycopg
import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.operations import health, probes
from apps.operations.models import DeadLetter, DeadLetterState
from apps.tenants.system import system_transaction
from huntaze.celery import QUEUES

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS = 2000


def registry() -> CollectorRegistry:
    """Everything to be scraped: of all processes where PROMETHEUS_MULTIPROC_DIR names their folder."""
    found = CollectorRegistry()
    found.register(CountCollector())
    found.register(SourceCollector())
    return found


class CountCollector(Collector):
    """What processes have counted, and what follows from it."""

    def collect(self) -> Iterator[Metric]:
        counted = list(_counted())
        yield from counted
        by_name = {family.name: family for family in counted}
        for derive in probes.derived_metrics.values():
            yield from derive(by_name)


def _counted() -> Iterable[Metric]:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY.collect()
    collector = multiprocess.MultiProcessCollector(None)  # type: ignore[no-untyped-call]
    found: Iterable[Metric] = collector.collect()  # type: ignore[no-untyped-call]
    return found


class SourceCollector(Collector):
    """Asks the database and the broker. What can't be had is left out, and `huntaze_source_up` says so."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        up = GaugeMetricFamily("huntaze_source_up", "1: the source of figures answered.", labels=["source"])
        found = {**_ask_database(now), "broker": _queue_depths()}
        by_name: dict[str, Metric] = {}
        for source, families in found.items():
            up.add_metric([source], 0 if families is None else 1)
            for family in families or ():
                if by_name.setdefault(family.name, family) is not family:
                    by_name[family.name].samples += family.samples
        yield from by_name.values()
        yield up


def _ask_database(now: datetime) -> dict[str, list[Metric] | None]:
    found: dict[str, list[Metric] | None] = dict.fromkeys(probes.metric_sources)
    try:
        # The pool would wait for longer than a scraper does.
        health.check_database()
        with system_transaction(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
            for name, source in probes.metric_sources.items():
                found[name] = _ask(name, source, now)
    except (DatabaseError, psycopg.Error, health.NotReadyError) as error:
        log.warning("metrics.unavailable", source="database", error=f"{type(error).__name__}: {error}")
    return found


def _ask(name: str, source: probes.MetricSource, now: datetime) -> list[Metric] | None:
    try:
        with transaction.atomic():
            return list(source(now))
    except DatabaseError as error:
        log.warning("metrics.unavailable", source=name, error=f"{type(error).__name__}: {error}")
        return None


def _queue_depths() -> list[Metric] | None:
    depth = GaugeMetricFamily("huntaze_queue_depth", "Tasks that wait in the broker.", labels=["queue"])
    try:
        with health.connect_broker() as broker:
            for queue in QUEUES:
                depth.add_metric([queue], _waiting(broker, queue))
    except health.BROKER_ERRORS as error:
        log.warning("metrics.unavailable", source="broker", error=f"{type(error).__name__}: {error}")
        return None
    return [depth]


def _waiting(broker: kombu.Connection, queue: str) -> int:
    """How many tasks wait in a queue. Redis knows no empty queue, RabbitMQ none before a worker was there."""
    try:
        with broker.channel() as channel:
            declared: Any = kombu.Queue(queue, channel=channel).queue_declare(passive=True)
            return int(declared.message_count)
    except broker.channel_errors:
        return 0


def dead_letters(now: datetime) -> Iterator[Metric]:
    letters = DeadLetter.objects.filter(state=DeadLetterState.OPEN).count()
    yield GaugeMetricFamily("huntaze_dead_letters_open", "Failed tasks that wait for a person.", letters)


def oldest_due_work(now: datetime) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "huntaze_queue_oldest_due_age_seconds",
        "How long the oldest due work has been waiting in the rows.",
        labels=["queue"],
    )
    for probe in probes.queue_probes.values():
        since = probe.oldest_due(now)
        age.add_metric([probe.queue], max(0.0, (now - since).total_seconds()) if since else 0.0)
    yield age
