"""A provider's export, read once and compared with the ledger."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import BinaryIO
from uuid import UUID

import structlog

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.text import storable
from apps.costs import reconciliation
from apps.costs.exports.layouts import PROVIDERS_OF, Line
from apps.costs.exports.reading import Export, ExportError, Key, canonical, read_export
from apps.costs.models import (
    BilledBy,
    ImportState,
    Price,
    UsageDifference,
    UsageImport,
    UsageLine,
)
from apps.costs.pricing import Rates
from apps.costs.reconciliation import Difference, Ours, Theirs, Tolerance
from apps.costs.services.rollups import NotKeptError
from apps.costs.usage_reading import kept_since, usage_by_day
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

LONGEST = timedelta(days=366)
LARGEST = 500 * 2**20
_CHUNK = 2000


class ImportedAlreadyError(ConflictError):
    """The same bytes were read before; the import is `known`."""

    code = "imported_already"

    def __init__(self, known: UsageImport) -> None:
        super().__init__(f"This very file was imported on {known.created_at:%Y-%m-%d} as {known.file_name}.")
        self.known = known


class CorrectingError(ConflictError):
    """Somebody is entering an import's corrections just now."""

    code = "correcting"


def import_usage(
    *,
    provider: str,
    file: BinaryIO,
    file_name: str,
    now: datetime,
    uploaded_by: UUID | None = None,
    tolerance: Tolerance | None = None,
) -> UsageImport:
    """Read a provider's export, all or nothing, and compare it with the ledger of its days.

    Raises InvalidInputError with the numbers of the lines that can't be, ImportedAlreadyError, NotKeptError.
    """
    if provider not in BilledBy.values:
        raise InvalidInputError(
            f"“{provider}” is no provider.", fields={"provider": f"Use one of {', '.join(BilledBy.values)}."}
        )
    digest = _digest(file)
    with system_transaction():
        _refuse_known(provider, digest)
    export = _read(file)
    _refuse_another_provider(provider, export)
    first, last = export.days
    if last - first >= LONGEST:
        text = f"The file reaches from {first} to {last}: export {LONGEST.days} days at most."
        raise InvalidInputError(text, fields={"file": text})
    with system_transaction():
        made, is_new = UsageImport.objects.get_or_create(
            provider=provider,
            sha256=digest,
            defaults={
                "file_name": str(storable(file_name))[-255:],
                "layout": export.layout,
                "first_day": first,
                "last_day": last,
                "lines": export.lines,
                "other_lines": export.others,
                "uploaded_by": uploaded_by,
                "compared_at": now,
            },
        )
        if not is_new:  # somebody else was quicker
            raise ImportedAlreadyError(made)
        UsageLine.objects.bulk_create(_lines(made, export.sums), batch_size=_CHUNK)
        _compare(made, now=now, tolerance=tolerance or Tolerance())
    log.info("usage.imported", usage_import=str(made.pk), provider=provider, lines=export.lines)
    return made


def compare_again(
    *, usage_import: UsageImport, now: datetime, tolerance: Tolerance | None = None
) -> UsageImport:
    """Make an import's differences anew, from the ledger as it is by now.

    Raises CorrectingError while corrections are being entered: their plan is by the differences that are
    there; NotKeptError, and leaves the differences, where the ledger has no entries of its days any more.
    """
    with system_transaction():
        held = lock(usage_import.pk)
        if held.state == ImportState.CORRECTING:
            raise CorrectingError(
                "Its corrections are being entered; it is compared again when they all are."
            )
        _compare(held, now=now, tolerance=tolerance or Tolerance())
    return held


def lock(import_id: UUID) -> UsageImport:
    """The import, which is ours until the transaction's end."""
    return UsageImport.objects.select_for_update().get(pk=import_id)


def refresh(held: UsageImport, *, now: datetime) -> None:
    """Compare a locked import in the caller's transaction."""
    _compare(held, now=now, tolerance=Tolerance())


def differences(
    held: UsageImport, *, now: datetime, tolerance: Tolerance | None = None, above_bounds: bool = False
) -> list[Difference]:
    """An import's lines against the ledger of this moment, in the caller's transaction (the system's)."""
    ours = _ours(held)
    theirs = _theirs(held, used={model for _, model in ours})
    rates = _rates(held.provider, theirs)
    return reconciliation.compare(
        theirs,
        ours,
        rates=rates,
        tolerance=tolerance or Tolerance(),
        today=now.astimezone(UTC).date(),
        above_bounds=above_bounds,
    )


def _compare(held: UsageImport, *, now: datetime, tolerance: Tolerance) -> None:
    found = differences(held, now=now, tolerance=tolerance, above_bounds=held.above_bounds)
    UsageDifference.objects.filter(usage_import=held).delete()
    UsageDifference.objects.bulk_create([_row(held, each) for each in found], batch_size=_CHUNK)
    held.compared_at = now
    held.save(update_fields=["compared_at"])


def _digest(file: BinaryIO) -> str:
    found, size = hashlib.sha256(), 0
    file.seek(0)
    while chunk := file.read(2**20):
        size += len(chunk)
        if size > LARGEST:
            text = f"The file has more than {LARGEST // 2**20} MB: export fewer days."
            raise InvalidInputError(text, fields={"file": text})
        found.update(chunk)
    file.seek(0)
    return found.hexdigest()


def _refuse_known(provider: str, digest: str) -> None:
    known = UsageImport.objects.filter(provider=provider, sha256=digest).first()
    if known is not None:
        raise ImportedAlreadyError(known)


def _refuse_another_provider(provider: str, export: Export) -> None:
    whose = PROVIDERS_OF.get(export.layout, provider)
    if whose != provider:
        text = f"The file is a bill of {whose}, and not of {provider}."
        raise InvalidInputError(text, fields={"provider": text})


def _read(file: BinaryIO) -> Export:
    try:
        return read_export(file)
    except ExportError as error:
        text = "\n".join(map(str, error.problems))
        raise InvalidInputError(text, fields={"file": text}) from error


def _lines(made: UsageImport, sums: Mapping[Key, Line]) -> list[UsageLine]:
    return [
        UsageLine(
            usage_import=made,
            day=line.day,
            model=line.model,
            key=line.key,
            requests=line.requests,
            input_tokens=line.input_tokens,
            cached_tokens=line.cached_tokens,
            output_tokens=line.output_tokens,
            amount=line.amount,
        )
        for line in sums.values()
    ]


def _theirs(held: UsageImport, *, used: Collection[str]) -> dict[reconciliation.Key, Theirs]:
    """By our names of the models."""
    known = _known_models(held)
    found: dict[reconciliation.Key, Theirs] = {}
    for each in UsageLine.objects.filter(usage_import=held):
        key = (each.day, canonical(each.model, known=known, used=used))
        line = Theirs(
            each.requests, each.input_tokens, each.cached_tokens, each.output_tokens, amount=each.amount
        )
        found[key] = found[key] + line if key in found else line
    return found


def _known_models(held: UsageImport) -> Sequence[str]:
    priced = Price.objects.filter(provider=held.provider).values_list("model", flat=True)
    return list(priced.order_by("model").distinct())


def _ours(held: UsageImport) -> dict[reconciliation.Key, Ours]:
    found = usage_by_day(provider=held.provider, since=held.first_day, until=held.last_day)
    # Asked afterwards: what we have read can't be dropped until our transaction ends.
    first = kept_since()
    if first is not None and held.first_day < first:
        text = (
            f"The bill begins on {held.first_day}, and the ledger's entries are kept from {first} UTC on: all"
            f" before would look as if we had never asked. Export {first} and later days."
        )
        raise NotKeptError(text, fields={"file": text})
    return found


def _rates(provider: str, theirs: Mapping[reconciliation.Key, Theirs]) -> dict[reconciliation.Key, Rates]:
    """The prices at the end of each day whose amounts the provider doesn't tell."""
    found: dict[reconciliation.Key, Rates] = {}
    by_model: dict[str, list[Price]] = {}
    for price in Price.objects.filter(provider=provider).order_by("starts_at"):
        by_model.setdefault(price.model, []).append(price)
    for (day, model), line in theirs.items():
        started = [price for price in by_model.get(model, []) if price.starts_at < _midnight_after(day)]
        if line.amount is None and started:
            found[day, model] = started[-1]
    return found


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)


def _row(held: UsageImport, each: Difference) -> UsageDifference:
    theirs, ours = each.theirs or Theirs(), each.ours or Ours()
    return UsageDifference(
        usage_import=held,
        provider=held.provider,
        day=each.day,
        model=each.model,
        state=each.verdict.value,
        priced=each.priced,
        requests=theirs.requests,
        input_tokens=theirs.input_tokens,
        cached_tokens=theirs.cached_tokens,
        output_tokens=theirs.output_tokens,
        amount=theirs.amount,
        our_requests=ours.requests,
        our_input_tokens=ours.input_tokens,
        our_cached_tokens=ours.cached_tokens,
        our_output_tokens=ours.output_tokens,
        our_amount=ours.amount,
        estimates=ours.estimates,
        estimated_amount=ours.estimated_amount,
        rest=each.rest.amount if each.rest else None,
        reason=each.reason,
    )
