import csv
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.analytics.serializers.revenue import RevenueRequest, told
from apps.analytics.services.revenue import AT_ONCE, Told, record_revenue
from apps.common.errors import DomainError
from apps.tenants.doors import tenant_transaction
from apps.tenants.services.tenants import tenant_named
from apps.tenants.system import system_transaction

_COLUMNS = list(RevenueRequest().fields)
# More than these are told by the next run.
_MOST_PROBLEMS = 20


class Command(BaseCommand):
    help = (
        "Enter revenue from a CSV file with the columns of POST /api/v2/analytics/revenue:"
        f" {', '.join(_COLUMNS)}. Entries that are there stay as they are, so a file may be read again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's id or exact name")
        parser.add_argument("file", type=Path)

    def handle(self, *, tenant: str, file: Path, **options: Any) -> None:
        try:
            with system_transaction():
                tenant_id = tenant_named(tenant).pk
            with file.open(encoding="utf-8-sig", newline="") as opened:
                for _ in _entries(opened):  # all of it, before anything is entered
                    pass
                opened.seek(0)
                created, known = _record(tenant_id, _entries(opened))
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error
        except UnicodeError as error:
            raise CommandError(f"{file} isn't UTF-8.") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"New entries: {created:,}. Known before: {known:,}.")


def _record(tenant_id: UUID, entries: Iterator[tuple[int, Told]]) -> tuple[int, int]:
    """A transaction for each thousand: killed, the next run goes on."""
    created = known = 0
    while batch := list(islice(entries, AT_ONCE)):
        lines, told = zip(*batch, strict=True)
        try:
            with tenant_transaction(tenant_id):
                taken = record_revenue(tenant_id=tenant_id, told=told)
        except DomainError as error:
            raise CommandError(_of_lines(error, lines)) from error
        created, known = created + taken.created, known + taken.known
    return created, known


def _of_lines(error: DomainError, lines: Sequence[int]) -> str:
    """The same by line: services count the entries of a batch."""
    found = [
        f"Line {lines[int(place.split('.')[1])]}: {text}"
        for place, text in error.fields.items()
        if place.startswith("entries.")
    ]
    return "\n".join(found) or error.message


def _entries(lines: Iterable[str]) -> Iterator[tuple[int, Told]]:
    """Each with the number of its last line. Raises CommandError with the lines that can't be."""
    reader = csv.DictReader(lines, strict=True)
    header = reader.fieldnames or []
    if unknown := [name for name in header if name not in _COLUMNS]:
        raise CommandError(f"The column “{unknown[0]}” is unknown; there are: {', '.join(_COLUMNS)}.")
    problems: list[str] = []
    try:
        for row in reader:
            given = {name: value for name, value in row.items() if name and value not in (None, "")}
            parsed = RevenueRequest(data=given)
            if None in row or not parsed.is_valid():
                problems.append(
                    f"Line {reader.line_num}: {_words(parsed) if None not in row else 'too many cells.'}"
                )
                if len(problems) == _MOST_PROBLEMS:
                    break
                continue
            if not problems:
                yield reader.line_num, told(parsed.validated_data)
    except csv.Error as error:
        problems.append(f"Line {reader.line_num + 1}: {error}.")
    if problems:
        raise CommandError("\n".join(problems))


def _words(parsed: RevenueRequest) -> str:
    return " ".join(f"{name}: {texts[0]}" for name, texts in parsed.errors.items())
