"""Estimates that a provider's bill corrects: planned all at once, entered one by one."""

from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import QuerySet

from apps.common.errors import ConflictError
from apps.costs.models import CorrectionState, ImportState, UsageCorrection, UsageImport
from apps.costs.reconciliation import Tolerance
from apps.costs.services import usage_imports
from apps.costs.services.rollups import NotKeptError
from apps.costs.services.usage_imports import CorrectingError
from apps.costs.sharing import share_out
from apps.costs.usage_reading import standing_estimates
from apps.tenants.doors import call_for_tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Corrections that one call enters; the next one goes on.
AT_ONCE = 1000
_CHUNK = 2000
_LONG = "1200s"


def plan_corrections(
    *,
    usage_import: UsageImport,
    now: datetime,
    above_bounds: bool = False,
    tolerance: Tolerance | None = None,
) -> int:
    """Write down what each standing estimate of an import's days has cost, by the provider. Returns how many.

    By the ledger of this moment, so whatever has been corrected since the comparison is left alone. Raises
    ConflictError if there is nothing to correct, CorrectingError if corrections are under way.
    """
    with system_transaction():
        held = usage_imports.lock(usage_import.pk)
        if held.state == ImportState.CORRECTING:
            raise CorrectingError("Its corrections are being entered already.")
        planned = _plan(held, now=now, above_bounds=above_bounds, tolerance=tolerance)
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


def follow(*, usage_import: UsageImport, now: datetime) -> UsageImport:
    """Enter what is planned of an import to its end, waiting for whoever has a part of it in hand.

    Returns the import as it then is, of which nothing is planned.
    """
    while True:
        with system_transaction():
            _be_patient()
            found = usage_imports.lock(usage_import.pk)  # who compares it has it
            if found.state != ImportState.CORRECTING:
                return found
            # Who enters a correction has that one; if it comes to nothing, it is ours next.
            _planned_of(found).select_for_update().first()
        enter_corrections(now=now)


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


def _plan(
    held: UsageImport, *, now: datetime, above_bounds: bool, tolerance: Tolerance | None
) -> list[UsageCorrection]:
    estimates = standing_estimates(provider=held.provider, since=held.first_day, until=held.last_day)
    found = []
    for each in usage_imports.differences(held, now=now, tolerance=tolerance, above_bounds=above_bounds):
        if each.rest is None:
            continue
        those = estimates.get((each.day, each.model), [])
        # The two were read one after the other, and attempts end at any time.
        if each.ours is None or {one.entry_id for one in those} != each.ours.standing:
            raise ConflictError(f"Estimates of {each.day} have changed just now. Try again.")
        shares = share_out(each.rest, [estimate.bound for estimate in those])
        found += [
            UsageCorrection(
                usage_import=held,
                day=each.day,
                model=each.model,
                tenant_id=estimate.tenant_id,
                hold_id=estimate.hold_id,
                generation_id=estimate.generation_id,
                attempt=estimate.attempt,
                bound=estimate.bound,
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
        # Who has it finishes it, and may have much to compare.
        held = UsageImport.objects.select_for_update(skip_locked=True).filter(pk=import_id).first()
        if held is None or held.state != ImportState.CORRECTING or _planned_of(held).exists():
            return
        held.state = ImportState.CORRECTED
        held.save(update_fields=["state"])
        with suppress(NotKeptError):  # its last months have been dropped meanwhile
            usage_imports.refresh(held, now=now)
    log.info("usage.corrected", usage_import=str(import_id))


def _planned_of(held: UsageImport) -> QuerySet[UsageCorrection]:
    return UsageCorrection.objects.filter(usage_import=held, state=CorrectionState.PLANNED).order_by("id")


def _be_patient() -> None:
    """Wait for a lock as long as it takes to compare a year."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [_LONG, _LONG],
        )
