"""Figures of dispatch, asked at every scrape: each query reads an index or one small row per campaign."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Max, Min, Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.messaging.models import (
    Account,
    BreakerState,
    DispatchWorker,
    Message,
    MessageState,
    Mode,
    Outbox,
    SendBlock,
)
from apps.messaging.services.situation import ALIVE_FOR, Situation, read_situation
from apps.operations.probes import breaker_family
from apps.tenants.models import Tenant

_BREAKER = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def messages_by_state(now: datetime) -> Iterator[Metric]:
    """Campaigns' messages from their outboxes' counters, single ones from an index of their own."""
    states = MessageState.values
    totals = Outbox.objects.aggregate(**{state: Sum(state, default=0) for state in states})
    singles = Message.objects.filter(outbox=None).order_by().values("state").annotate(number=Count("*"))
    for row in singles:
        totals[row["state"]] += row["number"]
    family = GaugeMetricFamily("huntaze_messages", "Messages by state.", labels=["state"])
    for state in states:
        family.add_metric([state], totals[state])
    yield family


def dispatcher(now: datetime) -> Iterator[Metric]:
    """Who decides about limits, who works, and what stands in the way."""
    situation = read_situation(now=now)
    mode = GaugeMetricFamily("huntaze_dispatch_mode", "1: limits are decided there.", labels=["mode"])
    for each in Mode.values:
        mode.add_metric([each], situation.mode == each)
    yield mode
    yield GaugeMetricFamily("huntaze_dispatch_epoch", "Grows when the logs are begun anew.", situation.epoch)
    yield GaugeMetricFamily("huntaze_dispatch_workers", "Dispatch workers alive.", situation.workers)
    yield GaugeMetricFamily("huntaze_dispatch_held", "1: nothing is sent for anybody.", bool(situation.held))
    yield from _platforms(situation)
    yield from _skew(now)
    blocked = GaugeMetricFamily(
        "huntaze_dispatch_blocked_layers", "Limits above accounts that are reached.", labels=["layer"]
    )
    numbers = SendBlock.objects.filter(until__gt=now).order_by().values_list("layer")
    found = dict(numbers.annotate(number=Count("pk")))
    for layer in ("user", "tenant", "global"):
        blocked.add_metric([layer], found.get(layer, 0))
    yield blocked


def _platforms(situation: Situation) -> Iterator[Metric]:
    breaker = breaker_family()
    paused = GaugeMetricFamily("huntaze_platform_paused", "1: an operator paused it.", labels=["platform"])
    for each in situation.platforms.values():
        breaker.add_metric([each.platform], _BREAKER[BreakerState(each.breaker)])
        paused.add_metric([each.platform], each.paused_at is not None)
    yield breaker
    yield paused


def _skew(now: datetime) -> Iterator[Metric]:
    """The widest interval that any live worker measured; left out where none did."""
    measured = DispatchWorker.objects.filter(seen_at__gt=now - ALIVE_FOR)
    bounds = measured.aggregate(low=Min("skew_low_us"), high=Max("skew_high_us"))
    skew = GaugeMetricFamily(
        "huntaze_dispatch_clock_skew_seconds",
        "Redis's clock is ahead of PostgreSQL's by at least and at most so much.",
        labels=["bound"],
    )
    for bound, microseconds in bounds.items():
        if microseconds is not None:
            skew.add_metric([bound], microseconds / 1_000_000)
    yield skew


def oldest_due(now: datetime) -> datetime | None:
    """Since when the longest waiting account has been due: `next_due` is when its queue needs a look."""
    paused = Tenant.objects.exclude(paused_at=None).values("pk")
    due = Account.objects.filter(next_due__lte=now, paused_at=None).exclude(tenant_id__in=paused)
    since: datetime | None = due.aggregate(since=Min("next_due"))["since"]
    return since
