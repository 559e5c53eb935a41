"""How much of a tenant's fullest budget is left, as this process saw it when it last took a hold."""

import time
from collections import OrderedDict
from decimal import Decimal
from uuid import UUID

# Routing wants a hint, not the truth: holds are what a budget is kept by.
_TELLS_FOR_S = 30.0
_MOST_TENANTS = 10_000

_seen: OrderedDict[UUID, tuple[Decimal | None, float]] = OrderedDict()


def note(tenant_id: UUID, left: Decimal | None) -> None:
    """`left` is a share of the limit; None where no budget stops calls."""
    _seen[tenant_id] = (left, time.monotonic())
    _seen.move_to_end(tenant_id)
    if len(_seen) > _MOST_TENANTS:
        _seen.popitem(last=False)


def of(tenant_id: UUID) -> Decimal | None:
    """None where nothing is known of the last half minute."""
    left, at = _seen.get(tenant_id, (None, 0.0))
    return left if time.monotonic() - at < _TELLS_FOR_S else None
