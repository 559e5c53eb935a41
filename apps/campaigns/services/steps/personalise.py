"""Write the texts: one template per account, or one text per fan."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef

from apps.ai.models import Generation, GenerationState
from apps.ai.services.generations import request_generation
from apps.campaigns.models import Campaign, Personalisation, WorkflowStep
from apps.campaigns.recipients import recipients
from apps.campaigns.services.steps import DONE, WAIT, StepOutcome
from apps.campaigns.services.steps.plan import brief_of
from apps.common.ids import uuid7
from apps.common.liquid import TemplateError
from apps.common.priority import Priority
from apps.content.models import Content, ContentKind, ContentState
from apps.messaging.models import Account, Fan
from apps.messaging.services import rendering

# How many texts are asked for at a time, so that a large campaign doesn't fill the queue before others.
IN_FLIGHT = 200


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Ask for texts that aren't asked for yet, and take in those that have come."""
    _take_in(campaign)
    texts = Content.objects.filter(campaign_id=campaign.pk, kind=ContentKind.MESSAGE)
    room = IN_FLIGHT - texts.filter(state=ContentState.PENDING).count()
    wanted = list(_missing(campaign, limit=room)) if room > 0 else []
    asked = [each for account, fan in wanted if (each := _ask(campaign, account, fan))]
    if wanted or texts.filter(state=ContentState.PENDING).exists():
        return StepOutcome(generation_ids=asked, more=not asked) if wanted else WAIT
    return _judge(campaign)


def _missing(campaign: Campaign, *, limit: int) -> Iterable[tuple[Account, Fan | None]]:
    """The accounts, or fans, for which no text was asked for yet; at most `limit`."""
    texts = Content.objects.filter(campaign_id=campaign.pk, kind=ContentKind.MESSAGE)
    for account in campaign.accounts.order_by("pk"):
        if limit <= 0:
            return
        fans = recipients(account=account, segment=campaign.segment)
        if campaign.personalisation == Personalisation.PER_FAN:
            for fan in fans.exclude(Exists(texts.filter(fan=OuterRef("pk")))).order_by("pk")[:limit]:
                limit -= 1
                yield account, fan
        elif fans.exists() and not texts.filter(account=account).exists():
            limit -= 1
            yield account, None


def _ask(campaign: Campaign, account: Account, fan: Fan | None) -> UUID | None:
    """Ask for a text. None if a fan's attributes make no prompt; the others' texts don't suffer from it."""
    variables: dict[str, Any] = {
        **brief_of(campaign),
        "plan": campaign.plan or {},
        "account": {"name": account.name},
    }
    if fan:
        variables["fan"] = {"name": fan.name, "attributes": fan.attributes}
    generation, problem = None, ""
    try:
        generation = request_generation(
            tenant_id=campaign.tenant_id,
            prompt_key="fan_message" if fan else "campaign_template",
            variables=variables,
            account_id=account.pk,
            campaign_id=campaign.pk,
            user_id=campaign.user_id,
            priority=Priority(campaign.priority),
        )
    except TemplateError as error:
        problem = error.message
    Content.objects.create(
        id=uuid7(),
        tenant_id=campaign.tenant_id,
        kind=ContentKind.MESSAGE,
        account=account,
        fan=fan,
        campaign_id=campaign.pk,
        generation=generation,
        state=ContentState.FAILED if problem else ContentState.PENDING,
        error=problem,
    )
    return generation.pk if generation else None


def _take_in(campaign: Campaign) -> None:
    """Copy what finished generations say into the texts that wait for it."""
    finished = (GenerationState.SUCCEEDED, GenerationState.FAILED)
    waiting = Content.objects.filter(
        campaign_id=campaign.pk, state=ContentState.PENDING, generation__state__in=finished
    ).select_related("generation")
    texts = list(waiting)
    for text in texts:
        assert text.generation is not None  # by the filter
        text.text = text.generation.text.strip()
        text.error = _problem(text, text.generation)
        text.state = ContentState.FAILED if text.error else ContentState.READY
    Content.objects.bulk_update(texts, ["text", "state", "error"])


def _problem(text: Content, generation: Generation) -> str:
    """Why a text can't be used; empty if it can. A template has to be one that we can render."""
    if generation.state == GenerationState.FAILED:
        return generation.error or "The generation failed."
    if not text.text:
        return "The provider answered with an empty text."
    if text.fan_id is None:
        return "; ".join(rendering.check(text.text))
    try:
        rendering.check_text(text.text)
    except rendering.RenderError as error:
        return error.message
    return ""


def _judge(campaign: Campaign) -> StepOutcome:
    """All texts have come: a fan without one is passed over; an account without one fails the campaign."""
    texts = Content.objects.filter(campaign_id=campaign.pk, kind=ContentKind.MESSAGE)
    failed = texts.filter(state=ContentState.FAILED).select_related("account").first()
    hopeless = not texts.filter(state=ContentState.READY).exists()
    if failed and (hopeless or campaign.personalisation == Personalisation.TEMPLATE):
        return StepOutcome(failed=f"The text for {failed.account.name} could not be written: {failed.error}")
    return DONE
