"""Figures of generations, asked at every scrape."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Min
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.ai.models import Deployment, Generation, GenerationState
from apps.ai.services.breakers import breaker_statuses
from apps.operations.probes import breaker_family

_BREAKER = {"closed": 0, "half_open": 1, "open": 2}


def generations_by_state(now: datetime) -> Iterator[Metric]:
    rows = Generation.objects.order_by().values_list("state").annotate(number=Count("*"))
    counts = dict.fromkeys(GenerationState.values, 0) | dict(rows)
    family = GaugeMetricFamily("huntaze_generations", "Generations by state.", labels=["state"])
    for state, number in counts.items():
        family.add_metric([state], number)
    yield family


def breakers(now: datetime) -> Iterator[Metric]:
    """Which deployments are enabled; and one for each that is, beside those of the platforms."""
    deployments, family = list(Deployment.objects.order_by("name")), breaker_family()
    enabled = GaugeMetricFamily(
        "huntaze_deployment_enabled",
        "1: may be called; 0: disabled, by an operator or by a refusal.",
        labels=["service"],
    )
    statuses = breaker_statuses([each.pk for each in deployments if each.enabled])
    for each in deployments:
        enabled.add_metric([each.name], int(each.enabled))
        if each.enabled:
            family.add_metric([each.name], _BREAKER[statuses[each.pk].state])
    yield family
    yield enabled


def oldest_due(now: datetime) -> datetime | None:
    """Since when the oldest question has been waiting for somebody to work on it."""
    due = Generation.objects.due(now=now)
    since: datetime | None = due.aggregate(since=Min("created_at"))["since"]
    return since
