from datetime import datetime

from apps.campaigns.models import Campaign, CampaignStatus, WorkflowStep
from apps.campaigns.services.steps import DONE, WAIT, StepOutcome
from apps.common.errors import ConflictError
from apps.messaging.services import outboxes


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Close the outbox: every message has come to its end."""
    try:
        outboxes.close(outbox=campaign.outbox, now=now)
    except ConflictError:
        return WAIT  # an operator has replayed one meanwhile
    campaign.status, campaign.finished_at = CampaignStatus.FINISHED, now
    return DONE
