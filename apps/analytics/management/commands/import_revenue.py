import csv
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.analytics.serializers.revenue import RevenueRequest, told
from apps.analytics.services.revenue import AT_ONCE, Taken, Told, record_revenue
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
        f" {', '.join(_COLUMNS)}. Entries that are there stay as they are, so a file may be read again;"
        " what a file says twice, the same, is entered once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's id or exact name")
        parser.add_argument("file", type=Path)

    def handle(self, *, tenant: str, file: Path, **options: Any) -> None:
        now = timezone.now()
        try:
            with system_transaction():
                tenant_id = tenant_named(tenant).pk
            with file.open(encoding="utf-8-sig", newline="") as opened:
                # All of it, before anything is entered.
                repeated = _repeated(_entries(opened, now=now))
                opened.seek(0)
                once = (each for each in _entries(opened, now=now) if each[0] not in repeated)
                taken = _record(tenant_id, once)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}.") from error
        except UnicodeError as error:
            raise CommandError(f"{file} isn't UTF-8.") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        said = f"New entries: {taken.created:,}. Known before: {taken.known:,}."
        if repeated:
            said += f" Repeated in the file, and entered once: {len(repeated):,}."
        self.stdout.write(said)


def _repeated(entries: Iterator[tuple[int, Told]]) -> set[int]:
    """The lines that say again what one before them has said.

    Raises CommandError with those that say something else of the same external_id.
    """
    # Of each entry no more than a number, lest a long file fill the memory.
    first: dict[str, tuple[int, int]] = {}
    repeated: set[int] = set()
    problems: list[str] = []
    for line, told_there in entries:
        before, said = first.setdefault(told_there.external_id, (line, hash(told_there)))
        if before == line:
            continue
        repeated.add(line)
        if said != hash(told_there) and len(problems) < _MOST_PROBLEMS:
            problems.append(
                f"Line {line}: “{told_there.external_id}” is also that of line {before}, which says something"
                " else of it. Give each entry an external_id of its own."
            )
    if problems:
        raise CommandError("\n".join(problems))
    return repeated


def _record(tenant_id: UUID, entries: Iterator[tuple[int, Told]]) -> Taken:
    """A transaction for each thousand: killed, the next run goes on."""
    taken = Taken(created=0, known=0)
    while batch := list(islice(entries, AT_ONCE)):
        lines, entered = zip(*batch, strict=True)
        try:
            with tenant_transaction(tenant_id):
                more = record_revenue(tenant_id=tenant_id, told=entered)
        except DomainError as error:
            before = (
                f"New entries before that: {taken.created:,}. Correct the lines, and read the file again."
            )
            raise CommandError(f"{_of_lines(error, lines)}\n{before}") from error
        taken = Taken(created=taken.created + more.created, known=taken.known + more.known)
    return taken


def _of_lines(error: DomainError, lines: Sequence[int]) -> str:
    """The same by line: services count the entries of a batch."""
    found = [
        f"Line {lines[int(place.split('.')[1])]}: {text}"
        for place, text in error.fields.items()
        if place.startswith("entries.")
    ]
    return "\n".join(found) or error.message


def _entries(lines: Iterable[str], *, now: datetime) -> Iterator[tuple[int, Told]]:
    """Each with the number of its last line. Raises CommandError with the lines that can't be."""
    reader = csv.DictReader(lines, strict=True)
    header = reader.fieldnames or []
    if unknown := [name for name in header if name not in _COLUMNS]:
        raise CommandError(f"The column “{unknown[0]}” is unknown; there are: {', '.join(_COLUMNS)}.")
    problems: list[str] = []
    try:
        for row in reader:
            given = {name: value for name, value in row.items() if name and value not in (None, "")}
            parsed = RevenueRequest(data=given, context={"now": now})
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
