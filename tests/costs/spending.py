"""Holds as tests take them: what matters is their bound."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs.models import BudgetCounter, Hold, HoldState, LedgerEntry
from apps.costs.pricing import Usage
from apps.costs.services import holds
from apps.costs.services.holds import Held, Purpose
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests import factories

# With the price of `dollar_price`, a hold's bound is its bytes in dollars.
MODEL = "dollar-model"


def dollar_price(provider: str = "openai", **fields: Any) -> None:
    factories.price(
        provider=provider, model=MODEL, input_per_million=1_000_000, output_per_million=1_000_000, **fields
    )


def take(
    tenant: Tenant,
    dollars: int,
    *,
    provider: str = "openai",
    model: str = MODEL,
    now: datetime | None = None,
    attempt: int = 1,
    generation_id: UUID | None = None,
    **purpose: Any,
) -> Held:
    now = now or timezone.now()
    return holds.take(
        purpose=Purpose(
            tenant_id=tenant.pk,
            generation_id=generation_id or uuid7(),
            task_kind="message",
            occurred_at=purpose.pop("occurred_at", now),
            **purpose,
        ),
        attempt=attempt,
        provider=provider,
        model=model,
        body_bytes=dollars,
        max_tokens=0,
        expires_at=now + timedelta(minutes=1),
        now=now,
    )


def dollars(number: int) -> Usage:
    return Usage(input_tokens=number, output_tokens=0)


def counters(tenant: Tenant) -> list[tuple[Decimal | int, Decimal | int]]:
    """(spent, held) of every counter, oldest first."""
    with tenant_transaction(tenant):
        return [(row.spent, row.held) for row in BudgetCounter.objects.order_by("id")]


def entries(tenant: Tenant) -> list[LedgerEntry]:
    with tenant_transaction(tenant):
        return list(LedgerEntry.objects.order_by("id"))


def truth(tenant: Tenant) -> tuple[Decimal | int, Decimal | int]:
    """What the ledger and the live holds say that the counter of a tenant's only period should be."""
    with tenant_transaction(tenant):
        spent = sum((entry.amount for entry in LedgerEntry.objects.all()), Decimal(0))
        held = sum((hold.bound for hold in Hold.objects.filter(state=HoldState.HELD)), Decimal(0))
    return spent, held
