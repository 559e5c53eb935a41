import sys
from argparse import ArgumentParser
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.common.errors import ConflictError, DomainError
from apps.common.money import plain
from apps.costs.models import (
    BilledBy,
    CorrectionState,
    DifferenceState,
    UsageCorrection,
    UsageDifference,
    UsageImport,
)
from apps.costs.reconciliation import Tolerance
from apps.costs.services import corrections, usage_imports
from apps.costs.services.usage_imports import CorrectingError, ImportedAlreadyError
from apps.tenants.system import system_transaction

# What the command exits with where the bill and the ledger don't agree.
DIFFERENT = 2
_HEAD = ("day", "model", "state", "theirs", "ours", "%", "in theirs/ours", "out theirs/ours", "estimates", "")


class Command(BaseCommand):
    help = (
        "Compare a provider's usage export (CSV) with the ledger, and with --apply correct the estimates that"
        f" it explains. Exits with {DIFFERENT} if anything differs in the end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, help="the export; docs/reconciliation.md says in which layouts"
        )
        parser.add_argument("--provider", required=True, choices=BilledBy.values)
        parser.add_argument("--apply", action="store_true", help="enter the corrections")
        parser.add_argument(
            "--above-bounds",
            action="store_true",
            help="also where the estimated attempts then come to more than was held for them",
        )
        parser.add_argument(
            "--tolerance",
            type=_percentage,
            default=Decimal("0.5"),
            metavar="PERCENT",
            help="figures that are as near count as the same (0.5)",
        )
        parser.add_argument("--all", action="store_true", help="print what matches too")

    def handle(self, *, file: Path, provider: str, apply: bool, above_bounds: bool, **options: Any) -> None:
        try:
            tolerance = Tolerance(share=options["tolerance"] / 100)
            found = self._imported(file, provider, tolerance)
            if apply:
                found = self._corrected(found, tolerance, above_bounds=above_bounds)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self._print(found, everything=options["all"])

    def _imported(self, file: Path, provider: str, tolerance: Tolerance) -> UsageImport:
        now = timezone.now()
        try:
            with file.open("rb") as opened:
                return usage_imports.import_usage(
                    provider=provider, file=opened, file_name=file.name, now=now, tolerance=tolerance
                )
        except ImportedAlreadyError as known:
            self.stdout.write("The file was imported before; it is compared with the ledger as it is now.")
            # What a killed run had planned comes first.
            return self._compared(known.known, tolerance)

    def _corrected(self, found: UsageImport, tolerance: Tolerance, *, above_bounds: bool) -> UsageImport:
        now = timezone.now()
        try:
            corrections.plan_corrections(
                usage_import=found, now=now, above_bounds=above_bounds, tolerance=tolerance
            )
        except CorrectingError as others:
            self.stdout.write(others.message)
        except ConflictError as nothing:
            self.stdout.write(nothing.message)
            return found
        return self._compared(found, tolerance)

    def _compared(self, found: UsageImport, tolerance: Tolerance) -> UsageImport:
        """Compared by this tolerance, after all that anybody has planned of it is entered."""
        while True:
            now = timezone.now()
            corrections.follow(usage_import=found, now=now)
            with suppress(CorrectingError):  # somebody has planned more just now
                return usage_imports.compare_again(usage_import=found, now=now, tolerance=tolerance)

    def _print(self, found: UsageImport, *, everything: bool) -> None:
        with system_transaction():
            rows = list(UsageDifference.objects.filter(usage_import=found).order_by("day", "model"))
            entered = UsageCorrection.objects.filter(
                usage_import=found, state=CorrectionState.ENTERED
            ).count()
        odd = [row for row in rows if row.state != DifferenceState.MATCHED]
        standing = [row for row in rows if row.rest is not None]
        shown = rows if everything else sorted({*odd, *standing}, key=lambda row: (row.day, row.model))
        if shown:
            self._table([_HEAD, *map(_cells, shown)])
        self.stdout.write(
            f"{found.first_day} to {found.last_day} (UTC), {found.lines:,} lines"
            f" ({found.other_lines:,} of something else than tokens): {len(rows) - len(odd):,} days of models"
            f" match, {len(odd):,} don't. Corrected: {entered:,}."
        )
        if standing:
            number = sum(row.estimates for row in standing)
            self.stdout.write(f"{number:,} estimates can be corrected: run it again with --apply.")
        if odd:
            sys.exit(DIFFERENT)

    def _table(self, rows: list[tuple[str, ...]]) -> None:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _percentage(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(text) from error
    if not 0 <= found <= 100:
        raise ValueError(text)
    return found


def _cells(row: UsageDifference) -> tuple[str, ...]:
    theirs = "?" if row.amount is None else plain(row.amount) + ("*" if row.priced else "")
    note = row.reason
    if row.rest is not None:
        note = f"{plain(row.estimated_amount)} → {plain(row.rest)}"
    return (
        str(row.day),
        row.model,
        row.get_state_display(),
        theirs,
        plain(row.our_amount),
        _share(row),
        f"{_count(row.input_tokens)}/{row.our_input_tokens:,}",
        f"{_count(row.output_tokens)}/{row.our_output_tokens:,}",
        f"{row.estimates:,}",
        note,
    )


def _share(row: UsageDifference) -> str:
    """How much more ours is than theirs, in percent of theirs."""
    if not row.amount:
        return ""
    return f"{(row.our_amount - row.amount) / row.amount * 100:+.1f}"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
