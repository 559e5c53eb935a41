from uuid import UUID

from tasks.base import hint_on_commit
from tasks.campaigns import advance_campaign


def hint_campaign(campaign_id: UUID) -> None:
    """Have the campaign take its next step at once."""
    hint_on_commit(advance_campaign, campaign_id=str(campaign_id))
