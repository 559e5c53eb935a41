"""Figures of dispatch, asked at every scrape: each query reads an index or one small row per campaign."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Min, Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.messaging.models import Account, Message, MessageState, Outbox
from apps.tenants.models import Tenant


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


def oldest_due(now: datetime) -> datetime | None:
    """Since when the longest waiting account has been due: `next_due` is when its queue needs a look."""
    paused = Tenant.objects.exclude(paused_at=None).values("pk")
    due = Account.objects.filter(next_due__lte=now, paused_at=None).exclude(tenant_id__in=paused)
    since: datetime | None = due.aggregate(since=Min("next_due"))["since"]
    return since
