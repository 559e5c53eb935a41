"""What each process counts of the AI's work. A call costs a few microseconds and asks nobody.

Prometheus adds up all processes (apps/operations/metrics.py). Labels come from rows and enumerations of ours,
never from what a caller or a provider sends, or they could fill the memory.
"""

from collections.abc import Iterator, Mapping
from functools import cache

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

# An attempt may take a minute; optional work gives up after 1 s, critical work after 5.
ATTEMPT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 1.5, 2.5, 5, 7.5, 10, 20, 30, 60)
# What we add to the providers' time: milliseconds, or the waits between retries.
OVERHEAD_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
WAIT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)

_attempts = Histogram(
    "huntaze_ai_request_duration_seconds",
    "One call of a provider, from its sending to its outcome.",
    ["provider", "model", "outcome"],
    buckets=ATTEMPT_BUCKETS,
)
_generations = Counter(
    "huntaze_ai_generations",
    "Questions that have come to an end; source: where the answer came from, empty without one.",
    ["task_kind", "source", "outcome"],
)
_durations = Histogram(
    "huntaze_ai_generation_duration_seconds",
    "A question from its beginning to its end.",
    ["task_kind", "outcome"],
    buckets=ATTEMPT_BUCKETS,
)
_overhead = Histogram(
    "huntaze_ai_overhead_seconds",
    "A question's time from its beginning to its end, less the calls of providers.",
    buckets=OVERHEAD_BUCKETS,
)
_lookups = Counter("huntaze_ai_cache_lookups", "Looks into the cache.", ["result"])
_joins = Counter("huntaze_ai_joins", "Callers who joined an identical call in flight.", ["outcome"])
_flights = Counter("huntaze_ai_flights", "Calls that others could join, by how they ended.", ["outcome"])
_hold_waits = Histogram(
    "huntaze_ai_hold_wait_seconds",
    "Waits for other calls to give back what a budget needs.",
    buckets=WAIT_BUCKETS,
)
_fallbacks = Counter("huntaze_ai_fallbacks", "Turns from one deployment to the next.", ["from", "to", "kind"])
_hits, _misses = _lookups.labels("hit"), _lookups.labels("miss")


def attempt_ended(*, provider: str, model: str, outcome: str, seconds: float) -> None:
    """A provider was called; `outcome` is "ok" or a FailureKind."""
    _attempt(provider, model, outcome).observe(seconds)


def generation_ended(
    *, task_kind: str, source: str, state: str, seconds: float, overhead_seconds: float
) -> None:
    """A question has come to its end after `seconds`, `overhead_seconds` of which no provider had it."""
    _generation(task_kind, source, state).inc()
    _duration(task_kind, state).observe(seconds)
    _overhead.observe(overhead_seconds)


def cache_looked_up(*, hit: bool) -> None:
    """The cache was asked; a stale answer is no hit, even if it is used in the end."""
    (_hits if hit else _misses).inc()


def join_ended(*, outcome: str) -> None:
    """A caller who waited for another's call: "answered", "refused", "took_over" or "gave_up"."""
    _join(outcome).inc()


def flight_ended(*, outcome: str) -> None:
    """A call that others could join: "answer", "inherent" (an error that all of them share), "abandoned"."""
    _flight(outcome).inc()


def hold_waited(*, seconds: float) -> None:
    """Only others' holds were in a budget's way, and the caller waited for them."""
    _hold_waits.observe(seconds)


def fell_back(*, origin: str, target: str, kind: str) -> None:
    """After a failure of that kind at one deployment, the next one was asked."""
    _fallback(origin, target, kind).inc()


def cache_hit_ratio(counted: Mapping[str, Metric]) -> Iterator[Metric]:
    """Hits among all looks into the cache, since the processes' start; left out before the first one."""
    lookups = counted.get("huntaze_ai_cache_lookups")
    samples = lookups.samples if lookups else []
    found = {each.labels["result"]: each.value for each in samples if each.name.endswith("_total")}
    if total := sum(found.values()):
        yield GaugeMetricFamily(
            "huntaze_cache_hit_ratio", "Hits among all looks into the cache.", found.get("hit", 0) / total
        )


# The metrics' own way to a child checks and locks every time.
_attempt = cache(_attempts.labels)
_generation = cache(_generations.labels)
_duration = cache(_durations.labels)
_join = cache(_joins.labels)
_flight = cache(_flights.labels)
_fallback = cache(_fallbacks.labels)
