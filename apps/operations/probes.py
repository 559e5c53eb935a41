"""What the apps tell operations about themselves: each registers its part in `AppConfig.ready()`.

So health and metrics know every dependency and queue without importing the apps above.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from prometheus_client.core import Metric

# Raises an exception when the dependency is down, and may return a remark where it works, but not as usual.
# Has to give up within health.DEADLINE by itself.
HealthCheck = Callable[[], str | None]
# Yields metric families. Runs inside a system transaction with a short statement time-out.
MetricSource = Callable[[datetime], Iterable[Metric]]


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


def register_health_check(name: str, check: HealthCheck) -> None:
    health_checks[name] = check


def register_queue_probe(probe: QueueProbe) -> None:
    queue_probes[probe.queue] = probe


def register_metrics(name: str, source: MetricSource) -> None:
    metric_sources[name] = source
