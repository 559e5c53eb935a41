from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.common.errors import DomainError
from apps.costs.exchange_files import read_rates
from apps.costs.services.currencies import RatesDifferError, import_rates
from apps.tenants.system import system_transaction

# Of what is wrong, so much is told.
_TOLD = 20


class Command(BaseCommand):
    help = (
        "Enter rates of exchange from a CSV file: of date,currency,rate (of one US dollar), or the European "
        "Central Bank's eurofxref. All of the file, or nothing of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--source", default="", help="who says so; the file's name by default")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="let the file's rates take the place of others of the same day",
        )

    def handle(self, *, file: Path, source: str, replace: bool, **options: Any) -> None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise CommandError(f"{file} can't be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise CommandError(f"{file} is no text in UTF-8.") from error
        found = read_rates(text, today=timezone.now().date())
        if found.problems:
            raise CommandError(_listed(f"Nothing of {file} was entered:", found.problems))
        try:
            with system_transaction():
                done = import_rates(rates=found.rates, source=(source or file.name)[:200], replace=replace)
        except RatesDifferError as error:
            raise CommandError(
                _listed(f"{error.message} With --replace they are replaced.", error.lines)
            ) from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{done.entered} rates entered, {done.replaced} replaced, {done.unchanged} were there already."
        )


def _listed(head: str, lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - _TOLD} more"] if len(lines) > _TOLD else []
    return "\n  ".join([head, *lines[:_TOLD], *more])
