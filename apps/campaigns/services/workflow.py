"""A campaign's way: plan → personalise → approve → dispatch → finish.

Each step looks at rows and changes rows, in one transaction under the campaign's lock, and never waits: the
waiting is done by the generations and messages that it made. So a process may die anywhere; whoever advances
the campaign next (a finished generation, an approval, the sweep) finds what was committed and goes on.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from apps.ai.services import generations
from apps.campaigns.models import Campaign, CampaignStatus, StepName, StepStatus, WorkflowStep
from apps.campaigns.services.steps import Step, StepOutcome, approve, dispatch, finish, personalise, plan
from apps.common.errors import DomainError
from apps.messaging.services import outboxes
from apps.tenants.doors import tenant_transaction
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

STEPS: dict[str, Step] = {
    StepName.PLAN: plan.run,
    StepName.PERSONALISE: personalise.run,
    StepName.APPROVE: approve.run,
    StepName.DISPATCH: dispatch.run,
    StepName.FINISH: finish.run,
}
STATUS_DURING = {
    StepName.PLAN: CampaignStatus.PLANNING,
    StepName.PERSONALISE: CampaignStatus.PERSONALISING,
    StepName.APPROVE: CampaignStatus.AWAITING_APPROVAL,
    StepName.DISPATCH: CampaignStatus.DISPATCHING,
}
OPEN = (StepStatus.PENDING, StepStatus.RUNNING)


@dataclass
class Advance:
    """What one call did: generations that somebody should run, and whether there is more to do at once."""

    generation_ids: list[UUID] = field(default_factory=list)
    more: bool = False


def advance(*, campaign_id: UUID, now: datetime) -> Advance:
    """Do what a campaign's current step can do now, and go on to the next when it is done."""
    tenant_id = _tenant_of(campaign_id)
    if tenant_id is None:
        return Advance()
    with tenant_transaction(tenant_id):
        campaign = (
            Campaign.objects.select_for_update(of=("self",)).select_related("outbox").get(pk=campaign_id)
        )
        if campaign.finished_at or campaign.outbox.paused_at:
            return Advance()
        step = campaign.steps.filter(status__in=OPEN).order_by("position").first()
        return _run(campaign, step, now) if step else Advance()


def open_campaigns(*, after: UUID | None, limit: int) -> list[UUID]:
    """A page of the campaigns that a sweep should advance: open, not paused, not waiting for a person."""
    with system_transaction():
        rows = Campaign.objects.filter(finished_at__isnull=True, outbox__paused_at__isnull=True).exclude(
            status=CampaignStatus.AWAITING_APPROVAL, approved_at__isnull=True
        )
        if after:
            rows = rows.filter(pk__gt=after)
        return list(rows.order_by("pk").values_list("pk", flat=True)[:limit])


def _tenant_of(campaign_id: UUID) -> UUID | None:
    with system_transaction():
        return Campaign.objects.filter(pk=campaign_id).values_list("tenant_id", flat=True).first()


def _run(campaign: Campaign, step: WorkflowStep, now: datetime) -> Advance:
    if step.status == StepStatus.PENDING:
        step.status, step.started_at = StepStatus.RUNNING, now
        campaign.status = STATUS_DURING.get(StepName(step.name), CampaignStatus(campaign.status))
    outcome = _try(campaign, step, now)
    if outcome.failed:
        _fail(campaign, step, outcome.failed, now)
    elif outcome.done:
        step.status, step.finished_at = StepStatus.DONE, now
        log.info("campaign.step_done", campaign_id=str(campaign.pk), step=step.name)
    step.save()
    campaign.save()
    return Advance(outcome.generation_ids, more=outcome.more or (outcome.done and not campaign.finished_at))


def _try(campaign: Campaign, step: WorkflowStep, now: datetime) -> StepOutcome:
    """Run the step. What it refuses, it would refuse for ever: that undoes it and fails the campaign."""
    try:
        with transaction.atomic():
            return STEPS[step.name](campaign, step, now)
    except DomainError as refusal:
        return StepOutcome(failed=refusal.message)


def _fail(campaign: Campaign, step: WorkflowStep, reason: str, now: datetime) -> None:
    step.status, step.finished_at, step.error = StepStatus.FAILED, now, reason
    campaign.status, campaign.finished_at, campaign.reason = CampaignStatus.FAILED, now, reason
    stop_work(campaign, besides=step, now=now)
    log.warning("campaign.failed", campaign_id=str(campaign.pk), step=step.name, reason=reason)


def stop_work(campaign: Campaign, *, besides: WorkflowStep | None = None, now: datetime) -> None:
    """Let nothing more be written or sent for a campaign that has ended before its time."""
    rest = campaign.steps.filter(status__in=OPEN)
    if besides:
        rest = rest.exclude(pk=besides.pk)
    rest.update(status=StepStatus.SKIPPED, finished_at=now)
    generations.cancel_generations(campaign_id=campaign.pk, now=now)
    if not campaign.outbox.closed_at:
        outboxes.cancel(outbox=campaign.outbox, now=now)
