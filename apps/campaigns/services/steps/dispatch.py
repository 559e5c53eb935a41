"""Fill the outbox in chunks, then wait until every message in it has come to its end."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.campaigns.models import Campaign, Personalisation, WorkflowStep
from apps.campaigns.recipients import recipients
from apps.campaigns.services.steps import DONE, MORE, WAIT, StepOutcome
from apps.content.models import Content, ContentKind, ContentState
from apps.messaging.models import Account
from apps.messaging.services import outboxes

CHUNK = outboxes.CHUNK


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """The step's cursor, how far the outbox is filled, commits together with each chunk's messages."""
    if not step.cursor.get("filled"):
        _fill(campaign, step, now)
        return MORE
    campaign.outbox.refresh_from_db()
    return DONE if outboxes.settled(campaign.outbox) else WAIT


def _fill(campaign: Campaign, step: WorkflowStep, now: datetime) -> None:
    """Enqueue the next chunk of the account whose fans are being written to."""
    account = _current_account(campaign, step)
    if account is None:
        step.cursor = {"filled": True}
        return
    after = step.cursor.get("after")
    last = _enqueue(campaign, account, after=UUID(after) if after else None, now=now)
    step.cursor = {"account": str(account.pk), "after": str(last) if last else None, "finished": not last}


def _current_account(campaign: Campaign, step: WorkflowStep) -> Account | None:
    """The account whose fans are being written to, or the next one after it."""
    accounts = campaign.accounts.defer("credential").order_by("pk")
    current = step.cursor.get("account")
    if current is None:
        return accounts.first()
    if step.cursor.get("finished"):
        return accounts.filter(pk__gt=current).first()
    return accounts.get(pk=current)


def _enqueue(campaign: Campaign, account: Account, *, after: UUID | None, now: datetime) -> UUID | None:
    """A chunk of the account's fans, or of their texts; the chunk's last id, None if there is no more."""
    texts = _ready(campaign, account)
    chunk: dict[str, Any] = {
        "outbox": campaign.outbox,
        "account_id": account.pk,
        "price": campaign.price,
        "not_before": max(now, campaign.not_before or now),
        "after": after,
        "limit": CHUNK,
        "now": now,
    }
    if campaign.personalisation == Personalisation.PER_FAN:
        return outboxes.enqueue_texts(texts=texts.filter(fan__isnull=False), **chunk)
    template = texts.first()
    if template is None:
        return None
    fans = recipients(account=account, segment=campaign.segment)
    return outboxes.enqueue_template(body=template.text, fans=fans, **chunk)


def _ready(campaign: Campaign, account: Account) -> QuerySet[Content]:
    return Content.objects.filter(
        campaign_id=campaign.pk, account=account, kind=ContentKind.MESSAGE, state=ContentState.READY
    )
