"""A campaign carried through its steps in this process, with the AI's stand-in and without a platform."""

from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.ai.services.generations import run_generation
from apps.campaigns.models import Campaign
from apps.campaigns.services import workflow
from apps.tenants.system import system_transaction


def advance_all(campaign_id: UUID, *, now: datetime | None = None) -> Campaign:
    """Advance until nothing more can be done at once, running the generations that are asked for."""
    for _ in range(100):
        step = workflow.advance(campaign_id=campaign_id, now=now or timezone.now())
        for generation_id in step.generation_ids:
            run_generation(generation_id=generation_id, clock=timezone.now)
        if not step.more and not step.generation_ids:
            return reload(campaign_id)
    raise AssertionError("the campaign never comes to rest")


def reload(campaign_id: UUID) -> Campaign:
    with system_transaction():
        return Campaign.objects.select_related("outbox").get(pk=campaign_id)


def steps_of(campaign: Campaign) -> dict[str, str]:
    with system_transaction():
        return dict(campaign.steps.values_list("name", "status"))
