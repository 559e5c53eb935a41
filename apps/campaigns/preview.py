"""What a campaign would send, for a person to look at before approving."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.campaigns.models import Campaign
from apps.campaigns.recipients import preflight, recipients
from apps.common.errors import DomainError
from apps.content.models import Content, ContentKind, ContentState
from apps.messaging.models import Fan
from apps.messaging.services import rendering

SAMPLES_PER_ACCOUNT = 3
MAX_SAMPLES = 12


@dataclass(frozen=True)
class Sample:
    account: UUID
    fan: UUID
    fan_name: str
    text: str
    error: str = ""


@dataclass(frozen=True)
class Preview:
    plan: Any
    samples: list[Sample]
    recipients: int
    excluded: dict[str, int]
    ends_at: datetime
    warnings: list[str]


def preview(campaign: Campaign, *, now: datetime) -> Preview:
    """Sample texts on real fans, recipients, exclusions by reason, and the end."""
    outlook = preflight(
        accounts=campaign.accounts.order_by("name"),
        segment=campaign.segment,
        not_before=campaign.not_before,
        now=now,
    )
    texts = Content.objects.filter(campaign_id=campaign.pk, kind=ContentKind.MESSAGE)
    unwritten = texts.filter(state=ContentState.FAILED, fan__isnull=False).count()
    excluded = outlook.excluded | ({"no_text": unwritten} if unwritten else {})
    return Preview(
        plan=campaign.plan,
        samples=_samples(campaign, texts.filter(state=ContentState.READY)),
        recipients=outlook.recipients - unwritten,
        excluded=excluded,
        ends_at=outlook.ends_at,
        warnings=outlook.warnings,
    )


def _samples(campaign: Campaign, texts: Any) -> list[Sample]:
    samples: list[Sample] = []
    for text in texts.select_related("account", "fan").order_by("pk")[:MAX_SAMPLES]:
        if text.fan:
            samples.append(Sample(text.account_id, text.fan_id, text.fan.name, text.text))
            continue
        fans = recipients(account=text.account, segment=campaign.segment).order_by("pk")
        samples += [_rendered(text, fan) for fan in fans[:SAMPLES_PER_ACCOUNT]]
    return samples[:MAX_SAMPLES]


def _rendered(text: Content, fan: Fan) -> Sample:
    try:
        words, error = rendering.render(text.text, fan=fan, account_name=text.account.name), ""
    except DomainError as problem:
        words, error = "", problem.message
    return Sample(text.account_id, fan.pk, fan.name, words, error)
