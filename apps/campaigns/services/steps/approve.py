from datetime import datetime

from apps.campaigns.models import Approval, Campaign, WorkflowStep
from apps.campaigns.services.steps import DONE, WAIT, StepOutcome


def run(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Wait for a person, unless the campaign was asked to go without one."""
    if campaign.approval == Approval.AUTOMATIC and campaign.approved_at is None:
        campaign.approved_at = now
    return DONE if campaign.approved_at else WAIT
