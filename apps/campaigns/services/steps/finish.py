from datetime import datetime

from apps.campaigns.models import Campaign, CampaignStatus, WorkflowStep
from apps.campaigns.services.steps import DONE, StepOutcome
from apps.messaging.services import outboxes


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Close the outbox: every message has come to its end."""
    outboxes.close(outbox=campaign.outbox, now=now)
    campaign.status, campaign.finished_at = CampaignStatus.FINISHED, now
    return DONE
