"""Estimates that a provider's bill corrects: planned all at once, entered one by one."""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import structlog

from apps.common.errors import ConflictError
from apps.costs.models import CorrectionState, ImportState, UsageCorrection, UsageImport
from apps.costs.reconciliation import Tolerance
from apps.costs.services import usage_imports
from apps.costs.sharing import share_out
from apps.costs.usage_reading import standing_estimates
from apps.tenants.doors import call_for_tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Corrections that one call enters; the next one goes on.
AT_ONCE = 1000
_CHUNK = 2000


def plan_corrections(
    *,
    usage_import: UsageImport,
    now: datetime,
    above_bounds: bool = False,
    tolerance: Tolerance | None = None,
) -> int:
    """Write down what each standing estimate of an import's days has cost, by the provider. Returns how many.

    By the ledger of this moment, so whatever has been corrected since the comparison is left alone. Raises
    ConflictError if there is nothing to correct, or corrections are under way.
    """
    with system_transaction():
        held = usage_imports.lock(usage_import.pk)
        if held.state == ImportState.CORRECTING:
            raise ConflictError("Its corrections are being entered already.")
        planned = _planned(held, now=now, above_bounds=above_bounds, tolerance=tolerance)
        if not planned:
            raise ConflictError(
                "There is nothing to correct: no day has estimates that its difference explains. The"
                " differences say why."
            )
        UsageCorrection.objects.bulk_create(planned, batch_size=_CHUNK)
        held.state, held.above_bounds = ImportState.CORRECTING, above_bounds
        held.save(update_fields=["state", "above_bounds"])
    log.info("usage.corrections_planned", usage_import=str(held.pk), number=len(planned))
    return len(planned)


def enter_corrections(*, now: datetime, limit: int = AT_ONCE) -> int:
    """Enter what is planned, each in a transaction of its own, and finish imports of which all is entered.

    Safe beside itself, and after a kill at any place. Returns how many have come to their end.
    """
    with system_transaction():
        planned = UsageCorrection.objects.filter(state=CorrectionState.PLANNED).order_by("id")
        ids = list(planned.values_list("pk", flat=True)[:limit])
    ended = sum(_enter(each, now=now) for each in ids)
    with system_transaction():
        open_ones = list(
            UsageImport.objects.filter(state=ImportState.CORRECTING).values_list("pk", flat=True)
        )
    for import_id in open_ones:
        _finish(import_id, now=now)
    return ended


def _planned(
    held: UsageImport, *, now: datetime, above_bounds: bool, tolerance: Tolerance | None
) -> list[UsageCorrection]:
    estimates = standing_estimates(provider=held.provider, since=held.first_day, until=held.last_day)
    found = []
    for each in usage_imports.differences(held, now=now, tolerance=tolerance, above_bounds=above_bounds):
        if each.rest is None:
            continue
        those = estimates.get((each.day, each.model), [])
        # The two were read one after the other, and attempts end at any time.
        if each.ours is None or sum(one.bound for one in those) != each.ours.estimated_amount:
            raise ConflictError(f"Estimates of {each.day} have changed just now. Try again.")
        shares = share_out(each.rest, [estimate.bound for estimate in those])
        found += [
            UsageCorrection(
                usage_import=held,
                day=each.day,
                model=each.model,
                **asdict(estimate),
                input_tokens=share.input_tokens,
                cached_tokens=share.cached_tokens,
                output_tokens=share.output_tokens,
                amount=share.amount,
            )
            for estimate, share in zip(those, shares, strict=True)
        ]
    return found


def _enter(correction_id: UUID, *, now: datetime) -> bool:
    """The correction, the budgets' counters and the row that says so, in one transaction."""
    with system_transaction():
        mine = UsageCorrection.objects.select_for_update(skip_locked=True)
        each = mine.filter(pk=correction_id, state=CorrectionState.PLANNED).first()
        if each is None:
            return False
        settled = call_for_tenant(
            each.tenant_id,
            "costs_settle_hold",
            each.hold_id,
            each.input_tokens,
            each.cached_tokens,
            each.output_tokens,
            each.amount,
            now,
        )
        # Whoever knew the usage of this very attempt was first: that is the better figure.
        done = settled["outcome"] == "corrected"
        each.state = CorrectionState.ENTERED if done else CorrectionState.OVERTAKEN
        each.entered_at = now if done else None
        each.save(update_fields=["state", "entered_at"])
    return True


def _finish(import_id: UUID, *, now: datetime) -> None:
    with system_transaction():
        held = usage_imports.lock(import_id)
        left = UsageCorrection.objects.filter(usage_import=held, state=CorrectionState.PLANNED)
        if held.state != ImportState.CORRECTING or left.exists():
            return
        held.state = ImportState.CORRECTED
        held.save(update_fields=["state"])
        usage_imports.refresh(held, now=now)
    log.info("usage.corrected", usage_import=str(import_id))
