"""The gateway's fault document: what it may be told to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.sandbox.fault_documents import FaultDocumentError, read_count, read_number, read_object, read_plan
from apps.sandbox.faults import Effect, FaultPlan

EFFECTS = (Effect.HANG, Effect.CUT_BEFORE, Effect.CUT_AFTER, Effect.MALFORMED)
SELECTORS: Mapping[str, tuple[str, ...]] = {"operation": ("send", "lookup"), "account": (), "recipient": ()}
LOOKUPS: Mapping[str, int | None] = {
    "truthful": None,
    "absent_404": 404,
    "absent_405": 405,
    "absent_501": 501,
}


@dataclass(frozen=True, slots=True)
class EnforcedLimit:
    """At most `count` deliveries per account in any window of `seconds`; more are answered 429."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GatewayFaults:
    """What differs from a well-behaved gateway; `lookup_status` is None where look-ups are answered."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    honour_keys: bool = True
    lookup_status: int | None = None
    revoked_accounts: frozenset[str] = frozenset()
    enforced_limit: EnforcedLimit | None = None


def read_gateway_faults(document: Mapping[str, Any]) -> GatewayFaults:
    """Read a document. Raises FaultDocumentError."""
    names = ("seed", "rules", "honour_keys", "lookup", "revoked_accounts", "enforce_limit")
    fields = read_object(document, "faults", names)
    honour_keys = fields.get("honour_keys", True)
    if not isinstance(honour_keys, bool):
        raise FaultDocumentError("honour_keys: must be true or false")
    lookup = fields.get("lookup", "truthful")
    if lookup not in LOOKUPS:
        raise FaultDocumentError(f"lookup: must be one of {', '.join(LOOKUPS)}")
    revoked = fields.get("revoked_accounts", [])
    if not isinstance(revoked, list) or not all(isinstance(account, str) for account in revoked):
        raise FaultDocumentError("revoked_accounts: must be a list of texts")
    return GatewayFaults(
        plan=read_plan(fields, selectors=SELECTORS, effects=EFFECTS),
        honour_keys=honour_keys,
        lookup_status=LOOKUPS[lookup],
        revoked_accounts=frozenset(revoked),
        enforced_limit=_limit(fields["enforce_limit"]) if fields.get("enforce_limit") is not None else None,
    )


def _limit(value: object) -> EnforcedLimit:
    fields = read_object(value, "enforce_limit", ("count", "seconds"))
    seconds = read_number(fields.get("seconds"), "enforce_limit.seconds")
    if seconds == 0:
        raise FaultDocumentError("enforce_limit.seconds: must be more than 0")
    return EnforcedLimit(count=read_count(fields.get("count"), "enforce_limit.count"), seconds=seconds)
