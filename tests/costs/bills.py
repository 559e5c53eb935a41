"""Providers' bills as tests read them, and calls for them to be about: a dollar is a token."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

from apps.costs.models import LedgerEntry, UsageDifference, UsageImport
from apps.costs.services import corrections, holds, usage_imports
from apps.costs.services.holds import Held
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.costs.spending import dollars, take

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
HEAD = "day,model,requests,input_tokens,cached_tokens,output_tokens,amount\n"


def spend(tenant: Tenant, number: int, at: datetime = NOON, **purpose: Any) -> Held:
    """A call that cost so many dollars, and as many tokens."""
    hold = take(tenant, number, now=at, **purpose)
    holds.settle(hold=hold, usage=dollars(number), now=at)
    return hold


def lose(tenant: Tenant, bound: int, at: datetime = NOON, **purpose: Any) -> Held:
    """A call whose usage nobody knows."""
    hold = take(tenant, bound, now=at, **purpose)
    holds.settle(hold=hold, usage=None, now=at)
    return hold


def imported(*rows: str, now: datetime = LATER, head: str = HEAD, name: str = "march.csv") -> UsageImport:
    data = (head + "\n".join(rows)).encode()
    return usage_imports.import_usage(provider="openai", file=BytesIO(data), file_name=name, now=now)


def correct(found: UsageImport, **options: Any) -> int:
    planned = corrections.plan_corrections(usage_import=found, now=LATER, **options)
    assert corrections.enter_corrections(now=LATER) == planned
    return planned


def difference() -> UsageDifference:
    with system_transaction():
        return UsageDifference.objects.get()


def ledger() -> tuple[Decimal | int, int, int, int]:
    with system_transaction():
        rows = list(LedgerEntry.objects.filter(provider="openai"))
    return (
        sum((row.amount for row in rows), Decimal(0)),
        sum(row.input_tokens for row in rows),
        sum(row.cached_tokens for row in rows),
        sum(row.output_tokens for row in rows),
    )
