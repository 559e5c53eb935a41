"""The queue `campaigns`: steps of a campaign's workflow."""

from uuid import UUID

from django.utils import timezone

from apps.campaigns.services import workflow
from huntaze.celery import app
from tasks.ai import run_generation
from tasks.base import Tick, hint

PAGE = 500


@app.task
def advance_campaign(*, campaign_id: str) -> None:
    """Let a campaign take its next step, and the generations that it asks for begin."""
    advance = workflow.advance(campaign_id=UUID(campaign_id), now=timezone.now())
    for generation_id in advance.generation_ids:
        run_generation.delay(generation_id=str(generation_id))
    if advance.more:
        advance_campaign.delay(campaign_id=campaign_id)


@app.task(base=Tick)
def sweep_campaigns() -> None:
    """Hint every open campaign, in case the hint that it waits for was lost."""
    after = None
    while ids := workflow.open_campaigns(after=after, limit=PAGE):
        for campaign_id in ids:
            hint(advance_campaign, campaign_id=str(campaign_id))
        after = ids[-1]
