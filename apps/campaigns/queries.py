"""Figures about campaigns that a list needs for all its rows at once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from apps.campaigns.models import Campaign
from apps.campaigns.progress import Work
from apps.content.models import Content, ContentKind, ContentState
from apps.messaging.models import MessageState
from apps.messaging.services import eta

ENDED = (MessageState.SENT, MessageState.DEAD, MessageState.CANCELLED)


def message_counts(campaign: Campaign) -> dict[str, int]:
    """Messages by state; exact, since the outbox counts along with every change."""
    states = ("queued", "sending", "sent", "dead", "cancelled", "unknown")
    return {state: getattr(campaign.outbox, state) for state in states}


def work_by_campaign(campaigns: Iterable[Campaign]) -> dict[UUID, Work]:
    campaigns = list(campaigns)
    # Texts count for as long as there are no messages; there may be as many of them.
    writing = [each.pk for each in campaigns if not any(message_counts(each).values())]
    rows: Any = (
        Content.objects.filter(campaign_id__in=writing, kind=ContentKind.MESSAGE)
        .values("campaign_id")
        .annotate(all=Count("id"), ready=Count("id", filter=~Q(state=ContentState.PENDING)))
    )
    texts = {row["campaign_id"]: row for row in rows}
    found = {}
    for campaign in campaigns:
        counts, row = message_counts(campaign), texts.get(campaign.pk, {})
        found[campaign.pk] = Work(
            texts=row.get("all", 0),
            texts_ready=row.get("ready", 0),
            messages=sum(counts.values()),
            messages_ended=sum(counts[state] for state in ENDED),
        )
    return found


def ends_by_campaign(campaigns: Iterable[Campaign], *, now: datetime) -> dict[UUID, datetime]:
    """When the last message should be out, for those campaigns that have any queued."""
    by_outbox = {each.outbox_id: each for each in campaigns if not each.finished_at}
    ends = eta.estimates(outboxes=[each.outbox for each in by_outbox.values()], now=now)
    return {by_outbox[outbox].pk: end for outbox, end in ends.items()}
