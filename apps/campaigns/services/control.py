"""What a person does to a campaign. Each runs in the caller's transaction and locks the campaign."""

from datetime import datetime
from uuid import UUID

from apps.campaigns.models import Campaign, CampaignStatus
from apps.campaigns.services.workflow import stop_work
from apps.common.errors import ConflictError, NotFoundError
from apps.messaging.services import outboxes


def approve_campaign(*, tenant_id: UUID, campaign_id: UUID, now: datetime) -> Campaign:
    """Let a campaign that awaits approval be sent. Raises ConflictError in any other status."""
    campaign = _locked(tenant_id, campaign_id)
    if campaign.status != CampaignStatus.AWAITING_APPROVAL or campaign.approved_at:
        raise ConflictError(
            f"Only a campaign that awaits approval can be approved; this one is {_describe(campaign)}.",
            code="not_awaiting_approval",
        )
    campaign.approved_at = now
    campaign.save(update_fields=["approved_at"])
    return campaign


def reject_campaign(*, tenant_id: UUID, campaign_id: UUID, reason: str, now: datetime) -> Campaign:
    """Refuse a campaign that awaits approval: it ends as cancelled, with the reason."""
    campaign = _locked(tenant_id, campaign_id)
    if campaign.status != CampaignStatus.AWAITING_APPROVAL or campaign.approved_at:
        raise ConflictError(
            f"Only a campaign that awaits approval can be rejected; this one is {_describe(campaign)}.",
            code="not_awaiting_approval",
        )
    _end(campaign, reason=reason, now=now)
    return campaign


def cancel_campaign(*, tenant_id: UUID, campaign_id: UUID, now: datetime, reason: str = "") -> Campaign:
    """End a campaign; what isn't being sent at this moment won't be. Cancelling twice changes nothing."""
    campaign = _locked(tenant_id, campaign_id)
    if campaign.status == CampaignStatus.CANCELLED:
        return campaign
    _refuse_if_over(campaign, "cancelled")
    _end(campaign, reason=reason or "Cancelled.", now=now)
    return campaign


def pause_campaign(*, tenant_id: UUID, campaign_id: UUID, now: datetime) -> tuple[Campaign, int]:
    """Hold a campaign back. Returns it and how many messages are on their way and can't be held back."""
    campaign = _locked(tenant_id, campaign_id)
    _refuse_if_over(campaign, "paused")
    in_flight = outboxes.pause(outbox=campaign.outbox, now=now)
    return campaign, in_flight


def resume_campaign(*, tenant_id: UUID, campaign_id: UUID, now: datetime) -> Campaign:
    """Let a paused campaign go on. Resuming one that isn't paused changes nothing."""
    campaign = _locked(tenant_id, campaign_id)
    _refuse_if_over(campaign, "resumed")
    outboxes.resume(outbox=campaign.outbox, now=now)
    return campaign


def _locked(tenant_id: UUID, campaign_id: UUID) -> Campaign:
    rows = Campaign.objects.select_for_update(of=("self",)).select_related("outbox")
    campaign = rows.filter(tenant_id=tenant_id, pk=campaign_id).first()
    if campaign is None:
        raise NotFoundError("There is no such campaign.")
    return campaign


def _end(campaign: Campaign, *, reason: str, now: datetime) -> None:
    campaign.status, campaign.finished_at, campaign.reason = CampaignStatus.CANCELLED, now, reason
    campaign.save(update_fields=["status", "finished_at", "reason"])
    stop_work(campaign, now=now)


def _refuse_if_over(campaign: Campaign, verb: str) -> None:
    if campaign.finished_at:
        raise ConflictError(
            f"This campaign is {_describe(campaign)} and can't be {verb} any more.", code="campaign_is_over"
        )


def _describe(campaign: Campaign) -> str:
    return (
        "approved already"
        if campaign.approved_at and not campaign.finished_at
        else campaign.get_status_display().lower()
    )
