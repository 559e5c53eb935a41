from datetime import datetime
from typing import Any

from apps.ai.models import GenerationState
from apps.ai.services.generations import request_generation
from apps.campaigns.models import Campaign, WorkflowStep
from apps.campaigns.services.steps import DONE, WAIT, StepOutcome
from apps.common.priority import Priority


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Ask the advanced model for a plan, once, and keep its answer."""
    generation = campaign.plan_generation
    if generation is None:
        generation = request_generation(
            tenant_id=campaign.tenant_id,
            prompt_key="campaign_plan",
            variables=brief_of(campaign),
            campaign_id=campaign.pk,
            user_id=campaign.user_id,
            priority=Priority(campaign.priority),
        )
        campaign.plan_generation = generation
        return StepOutcome(generation_ids=[generation.pk])
    if generation.state == GenerationState.FAILED:
        return StepOutcome(failed=f"The plan could not be made: {generation.error}")
    if generation.state != GenerationState.SUCCEEDED:
        return WAIT
    campaign.plan = generation.data
    return DONE


def brief_of(campaign: Campaign) -> dict[str, Any]:
    """The campaign in the terms of the prompts."""
    return {
        "campaign": {
            "name": campaign.name,
            "type": campaign.get_type_display(),
            "brief": campaign.brief,
            "tone": campaign.tone or "warm and personal",
            "price": str(campaign.price) if campaign.price else "",
        }
    }
