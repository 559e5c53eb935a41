"""For which tenants a flag is on. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

_SHARES = 100


def is_rolled_out(name: str, tenant_id: UUID, percent: int) -> bool:
    """Whether a tenant is among the share that has a feature.

    Each tenant has a place of its own on every flag, from 0 to 99, and the feature if that is below the
    percentage: raising it never takes the feature from anybody, and no two flags favour the same tenants.
    """
    digest = hashlib.sha256(f"{name}:{tenant_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % _SHARES < percent


def is_on(name: str, tenant_id: UUID, *, percent: int, own: bool | None) -> bool:
    """Whether a flag is on for a tenant: its own setting wins over the roll-out."""
    return is_rolled_out(name, tenant_id, percent) if own is None else own


@dataclass(frozen=True, slots=True)
class Flags:
    """All flags as they were at a moment: a copy for processes that ask often and may be late by a little."""

    percentages: Mapping[str, int] = field(default_factory=dict)
    overrides: Mapping[tuple[str, UUID], bool] = field(default_factory=dict)

    def is_enabled(self, name: str, tenant_id: UUID, *, default: bool) -> bool:
        """The tenant's own setting, or what the roll-out says; `default` where there is no such flag."""
        percent = self.percentages.get(name)
        if percent is None:
            return default
        return is_on(name, tenant_id, percent=percent, own=self.overrides.get((name, tenant_id)))
