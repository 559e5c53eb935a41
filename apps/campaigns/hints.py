"""Hints to the workers, after the commit. One that gets lost costs seconds: the sweeps find the rows."""

from uuid import UUID

from django.db import transaction

from tasks.campaigns import advance_campaign


def hint_campaign(campaign_id: UUID) -> None:
    """Have the campaign take its next step at once."""

    # No partial: Django wants a function's name where it logs that the broker is away.
    def advance() -> None:
        advance_campaign.delay(campaign_id=str(campaign_id))

    transaction.on_commit(advance, robust=True)
