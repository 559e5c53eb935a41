"""Settle held attempts from many threads, three budgets over each, and print how many a second were settled.

Each is a commit of its own, as it is after a call of a provider. Taking the holds isn't measured.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
django.setup()

from django.utils import timezone  # noqa: E402 -- Django has to be set up first

from apps.common.ids import uuid7  # noqa: E402 -- Django has to be set up first
from apps.costs.models import BudgetScope, Price  # noqa: E402 -- Django has to be set up first
from apps.costs.pricing import Usage  # noqa: E402 -- Django has to be set up first
from apps.costs.services import holds  # noqa: E402 -- Django has to be set up first
from apps.costs.services.budgets import create_budget  # noqa: E402 -- Django has to be set up first
from apps.costs.services.holds import Held  # noqa: E402 -- Django has to be set up first
from apps.tenants.models import Tenant  # noqa: E402 -- Django has to be set up first
from apps.tenants.system import system_transaction  # noqa: E402 -- Django has to be set up first

THREADS, TENANTS = 8, 10
# A provider's full names are long.
PROVIDER, MODEL, KIND = "azure", "gpt-4o-mini-2024-07-18", "quick_reply"
_USAGE = Usage(input_tokens=700, cached_tokens=100, output_tokens=120)
# Far beyond what is spent here.
_LIMIT = Decimal(1_000_000)


def _tenant(number: int) -> tuple[UUID, UUID]:
    """A tenant and its campaign, with a budget for each of them, and one for the provider."""
    now, campaign_id = timezone.now(), uuid7()
    with system_transaction():
        tenant = Tenant.objects.create(name=f"Agency {number}")
    for scope in (
        {"scope": BudgetScope.TENANT},
        {"scope": BudgetScope.PROVIDER, "provider": PROVIDER},
        {"scope": BudgetScope.CAMPAIGN, "scope_id": campaign_id},
    ):
        create_budget(tenant_id=tenant.pk, limit=_LIMIT, now=now, **scope)
    return tenant.pk, campaign_id


def _take(spender: tuple[UUID, UUID]) -> Held:
    tenant_id, campaign_id = spender
    now = timezone.now()
    return holds.take(
        purpose=holds.Purpose(
            tenant_id=tenant_id,
            generation_id=uuid7(),
            task_kind=KIND,
            occurred_at=now,
            account_id=tenant_id,
            campaign_id=campaign_id,
            user_id=tenant_id,
        ),
        attempt=1,
        provider=PROVIDER,
        model=MODEL,
        body_bytes=2000,
        max_tokens=200,
        expires_at=now + timedelta(minutes=10),
        now=now,
    )


def _settle(hold: Held) -> bool:
    return holds.settle(hold=hold, usage=_USAGE, now=timezone.now()) is not None


def _price() -> None:
    with system_transaction():
        Price.objects.get_or_create(
            provider=PROVIDER,
            model=MODEL,
            starts_at=datetime(2020, 1, 1, tzinfo=UTC),
            defaults={"input_per_million": Decimal("0.15"), "output_per_million": Decimal("0.6")},
        )


def _settled_a_second(taken: Sequence[Held], pool: ThreadPoolExecutor) -> float:
    began = time.perf_counter()
    settled = sum(pool.map(_settle, taken))
    took = time.perf_counter() - began
    if settled != len(taken):
        sys.exit(f"{settled} of {len(taken)} were settled")
    return settled / took


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.settle_load", description=__doc__)
    parser.add_argument("entries", type=int)
    entries = parser.parse_args().entries
    _price()
    spenders = [_tenant(number) for number in range(TENANTS)]
    with ThreadPoolExecutor(THREADS) as pool:
        taken = list(pool.map(_take, (spenders[number % TENANTS] for number in range(entries))))
        rate = _settled_a_second(taken, pool)
    sys.stdout.write(f"{rate}\n")


if __name__ == "__main__":
    main()
