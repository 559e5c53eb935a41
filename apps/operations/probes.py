"""What the apps tell operations about themselves: each registers its part in `AppConfig.ready()`.

So health and metrics know every dependency and queue without importing the apps above.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

# Raises an exception when the dependency is down, and may return a remark where it works, but not as usual.
# Has to give up within health.DEADLINE by itself.
HealthCheck = Callable[[], str | None]
# Yields metric families. Runs inside a system transaction with a short statement time-out. What several
# sources yield under one name is one family.
MetricSource = Callable[[datetime], Iterable[Metric]]
# Given by name what all processes have counted, yields what follows from it.
DerivedMetrics = Callable[[Mapping[str, Metric]], Iterable[Metric]]


@dataclass(frozen=True)
class QueueProbe:
    """`oldest_due` tells since when the oldest piece of work in the rows has been waiting; None: nothing is.

    The rows, not the broker, say what is to be done, so their age shows a stuck queue even when the broker
    has lost its hints.
    """

    queue: str
    oldest_due: Callable[[datetime], datetime | None]


health_checks: dict[str, HealthCheck] = {}
queue_probes: dict[str, QueueProbe] = {}
metric_sources: dict[str, MetricSource] = {}
derived_metrics: dict[str, DerivedMetrics] = {}


def register_health_check(name: str, check: HealthCheck) -> None:
    health_checks[name] = check


def register_queue_probe(probe: QueueProbe) -> None:
    queue_probes[probe.queue] = probe


def register_metrics(name: str, source: MetricSource) -> None:
    metric_sources[name] = source


def register_derived_metrics(name: str, derive: DerivedMetrics) -> None:
    derived_metrics[name] = derive


def breaker_family() -> GaugeMetricFamily:
    """The family in which every app shows its breakers, empty; dashboards know its name and its numbers."""
    return GaugeMetricFamily(
        "huntaze_circuit_breaker_state", "0: closed, 1: half-open, 2: open.", labels=["service"]
    )
