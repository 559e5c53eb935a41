"""Fill the outbox in chunks, then wait until every message in it has come to its end."""

from datetime import datetime
from uuid import UUID

from apps.campaigns.models import Campaign, Personalisation, WorkflowStep
from apps.campaigns.recipients import recipients
from apps.campaigns.services.steps import DONE, MORE, WAIT, StepOutcome
from apps.content.models import Content, ContentKind, ContentState
from apps.messaging.models import Account
from apps.messaging.services import outboxes

CHUNK = 5000


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """The step's cursor, how far the outbox is filled, commits together with each chunk's messages."""
    if not step.cursor.get("filled"):
        if campaign.personalisation == Personalisation.PER_FAN:
            _fill_with_texts(campaign, step, now)
        else:
            _fill_from_templates(campaign, step, now)
        return MORE
    campaign.outbox.refresh_from_db()
    return DONE if outboxes.settled(campaign.outbox) else WAIT


def _fill_from_templates(campaign: Campaign, step: WorkflowStep, now: datetime) -> None:
    account = _current_account(campaign, step)
    if account is None:
        step.cursor = {"filled": True}
        return
    template = Content.objects.filter(
        campaign_id=campaign.pk, account=account, kind=ContentKind.MESSAGE, state=ContentState.READY
    ).first()
    after = step.cursor.get("fan")
    last = template and outboxes.enqueue_template(
        outbox=campaign.outbox,
        account_id=account.pk,
        body=template.text,
        fans=recipients(account=account, segment=campaign.segment),
        price=campaign.price,
        not_before=max(now, campaign.not_before or now),
        after=UUID(after) if after else None,
        limit=CHUNK,
        now=now,
    )
    step.cursor = {"account": str(account.pk), "fan": str(last) if last else None, "finished": not last}


def _current_account(campaign: Campaign, step: WorkflowStep) -> Account | None:
    """The account whose fans are being written to, or the next one after it."""
    accounts = campaign.accounts.order_by("pk")
    current = step.cursor.get("account")
    if current is None:
        return accounts.first()
    if step.cursor.get("finished"):
        step.cursor["fan"] = None
        return accounts.filter(pk__gt=current).first()
    return accounts.get(pk=current)


def _fill_with_texts(campaign: Campaign, step: WorkflowStep, now: datetime) -> None:
    texts = Content.objects.filter(
        campaign_id=campaign.pk, kind=ContentKind.MESSAGE, state=ContentState.READY, fan__isnull=False
    )
    if after := step.cursor.get("content"):
        texts = texts.filter(pk__gt=after)
    chunk = list(texts.order_by("pk")[:CHUNK])
    outboxes.enqueue_texts(
        outbox=campaign.outbox,
        texts=[
            outboxes.FanText(account_id=text.account_id, fan_id=text.fan_id, text=text.text)
            for text in chunk
            if text.fan_id
        ],
        price=campaign.price,
        not_before=max(now, campaign.not_before or now),
        now=now,
    )
    step.cursor = {"content": str(chunk[-1].pk)} if len(chunk) == CHUNK else {"filled": True}
