from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.campaigns.models import (
    Approval,
    Campaign,
    CampaignAccount,
    CampaignType,
    Personalisation,
    StepName,
    WorkflowStep,
)
from apps.campaigns.recipients import Preflight, preflight
from apps.common.errors import InvalidInputError, NotFoundError
from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.costs.models import BudgetScope
from apps.costs.subjects import subject_problem
from apps.messaging.models import Account
from apps.messaging.services import outboxes


@dataclass(frozen=True)
class CampaignDraft:
    """What a person asks for. An empty segment means every fan with consent."""

    name: str
    type: CampaignType
    brief: str
    accounts: list[UUID]
    tone: str = ""
    segment: dict[str, Any] = field(default_factory=dict)
    price: Decimal | None = None
    personalisation: Personalisation = Personalisation.TEMPLATE
    approval: Approval = Approval.MANUAL
    not_before: datetime | None = None
    priority: Priority = Priority.MEDIUM


def create_campaign(
    *, tenant_id: UUID, draft: CampaignDraft, now: datetime, user_id: UUID | None = None
) -> tuple[Campaign, Preflight]:
    """Record a campaign with its outbox and its steps; the workflow takes it from there.

    `user_id` is whoever asks for it, whose limit its messages and whose budgets its costs count in; None for
    an API key that asks for nobody. Runs in the caller's transaction. Raises NotFoundError for a user who is
    no member, InvalidInputError for accounts that aren't the tenant's, a segment that can't be understood or
    that no fan with consent falls into, and pay per view without a price.
    """
    if problem := subject_problem(tenant_id=tenant_id, scope=BudgetScope.USER, scope_id=user_id):
        raise NotFoundError(problem, fields={"user": problem})
    if draft.type == CampaignType.PPV and draft.price is None:
        raise InvalidInputError(
            "A pay-per-view campaign needs a price: without one it would go out for free.",
            code="price_required",
            fields={"price": "Give a price, or choose another type."},
        )
    accounts = _accounts(tenant_id, draft.accounts)
    outlook = preflight(accounts=accounts, segment=draft.segment, not_before=draft.not_before, now=now)
    if not outlook.recipients:
        raise InvalidInputError(
            "No fan would get a message: the accounts have none with consent in this segment.",
            code="no_recipients",
            fields={"segment": "No fan with consent matches."},
        )
    campaign_id = uuid7()
    outbox = outboxes.create_outbox(
        tenant_id=tenant_id, campaign_id=campaign_id, priority=draft.priority, user_id=user_id
    )
    campaign = Campaign.objects.create(
        id=campaign_id,
        tenant_id=tenant_id,
        outbox=outbox,
        **{name: getattr(draft, name) for name in draft.__dataclass_fields__ if name != "accounts"},
    )
    CampaignAccount.objects.bulk_create(
        CampaignAccount(tenant_id=tenant_id, campaign=campaign, account=account) for account in accounts
    )
    WorkflowStep.objects.bulk_create(
        WorkflowStep(tenant_id=tenant_id, campaign=campaign, name=name, position=position)
        for position, name in enumerate(StepName)
    )
    return campaign, outlook


def _accounts(tenant_id: UUID, ids: list[UUID]) -> list[Account]:
    found = Account.objects.filter(tenant_id=tenant_id).in_bulk(ids)
    if missing := [str(each) for each in ids if each not in found]:
        raise InvalidInputError(
            f"There is no account {missing[0]}.", code="unknown_account", fields={"accounts": missing[0]}
        )
    return list(found.values())
