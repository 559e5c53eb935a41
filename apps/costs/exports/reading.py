"""A provider's export as it comes, line by line, however long it is: sums by day, model and key."""

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from io import TextIOWrapper
from typing import BinaryIO, TypeVar

from apps.costs.exports.layouts import Cells, Layout, Line, layout_of
from apps.costs.exports.values import MOST_AMOUNT, MOST_TOKENS

MOST_LINES = 2_000_000
# Different days, models and keys; ten years of thirty models.
MOST_SUMS = 100_000
# So many problems are told at once; whoever mends a file needs no more.
MOST_PROBLEMS = 20
_LONGEST_LINE = 65_536
_LONGEST_MODEL, _LONGEST_KEY = 100, 300
_PLACES = Decimal(1).scaleb(-10)

Key = tuple[date, str, str]
_Number = TypeVar("_Number", int, Decimal)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line, which is counted from 1, the header included."""

    line: int
    text: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.text}"


class ExportError(ValueError):
    """The file is refused as a whole: half of a bill would look like a difference."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(" ".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Export:
    """A file's lines, added up. `others` were of something else than models' tokens."""

    layout: str
    sums: dict[Key, Line] = field(default_factory=dict)
    lines: int = 0
    others: int = 0

    @property
    def days(self) -> tuple[date, date]:
        days = [day for day, _, _ in self.sums]
        return min(days), max(days)


def read_export(file: BinaryIO) -> Export:
    """Read a CSV file, in UTF-8 or UTF-16. Raises ExportError with the numbers of the lines that can't be."""
    reader = _Reader()
    try:
        for number, line in enumerate(_lines(file), start=1):
            reader.take(number, line)
    except UnicodeError as error:
        reader.refuse("The file is neither UTF-8 nor UTF-16: save it as “CSV UTF-8”.", error)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self.layout: Layout | None = None
        self.delimiter = ","
        self.export = Export("")
        self.problems: list[Problem] = []
        self.number = 0

    def take(self, number: int, line: str) -> None:
        self.number = number
        if number > MOST_LINES:
            self.refuse(f"A file has {MOST_LINES:,} lines at most: export fewer days.")
        if len(line) >= _LONGEST_LINE:
            self.refuse(f"It is longer than {_LONGEST_LINE:,} characters.")
        if not line.strip():
            return
        try:
            self._take(line)
        except (ValueError, csv.Error) as error:
            self.problems.append(Problem(number, str(error)))
            if self.layout is None or len(self.problems) == MOST_PROBLEMS:
                raise ExportError(self.problems) from error

    def _take(self, line: str) -> None:
        if self.layout is None:
            self.delimiter = max(",;\t", key=line.count)
            self.layout = layout_of([cell.strip() for cell in self._cells(line)])
            self.export.layout = self.layout.name
            return
        self.export.lines += 1
        cells = self._cells(line)
        values = {
            what: cells[place].strip() for place, what in self.layout.columns.items() if place < len(cells)
        }
        if not values.get("day"):
            raise ValueError("The day is missing.")
        found = self.layout.read(Cells(values, decimal_comma=self.delimiter == ";"))
        if found is None:
            self.export.others += 1
        else:
            self._add(found)

    def _cells(self, line: str) -> list[str]:
        return next(csv.reader([line], delimiter=self.delimiter, strict=True))

    def _add(self, line: Line) -> None:
        if "\0" in line.model + line.key or len(line.model) > _LONGEST_MODEL or len(line.key) > _LONGEST_KEY:
            raise ValueError("The model's or key's name can't be: it is too long, or has a NUL.")
        sums, key = self.export.sums, (line.day, line.model, line.key)
        sums[key] = _plus(sums[key], line) if key in sums else line
        if len(sums) > MOST_SUMS:
            self.refuse(
                f"There are more than {MOST_SUMS:,} different days, models and keys: export fewer days."
            )

    def refuse(self, text: str, error: Exception | None = None) -> None:
        raise ExportError([*self.problems, Problem(self.number + (error is not None), text)]) from error

    def finish(self) -> Export:
        if self.problems:
            raise ExportError(self.problems)
        if not self.export.sums:
            raise ExportError([Problem(max(self.number, 1), "The file has no line with a model's usage.")])
        self._check_sums()
        self.export.sums = {key: _rounded(line) for key, line in self.export.sums.items()}
        return self.export

    def _check_sums(self) -> None:
        """However they are added up again, they stay below what a column can hold."""
        sums = self.export.sums.values()
        if sum(line.amount or 0 for line in sums) > MOST_AMOUNT:
            self.refuse(f"All amounts together are more than {MOST_AMOUNT:,}.")
        for name in ("requests", "input_tokens", "cached_tokens", "output_tokens"):
            if sum(getattr(line, name) or 0 for line in sums) > MOST_TOKENS:
                self.refuse(f"All {name.replace('_', ' ')} together are more than {MOST_TOKENS:,}.")


def canonical(model: str, *, known: Collection[str], used: Collection[str] = ()) -> str:
    """Our name of a provider's model: the longest known one that it is, apart from a date at its end.

    `gpt-4o-2024-08-06`, Azure's `gpt-4o-0806` and `gpt 4o 0806` are gpt-4o; `gpt-35-turbo` is gpt-3.5-turbo;
    `gpt-4o-mini` isn't gpt-4o. One that is none of them keeps its name. Those that were `used` come first:
    a call of gpt-4o is billed as one of its dated models, which may be known by themselves.
    """
    bare = _bare(model)
    for names in (used, known):
        for each in sorted(names, key=len, reverse=True):
            if _is_of(bare, _bare(each)):
                return each
    return model


def _is_of(bare: str, own: str) -> bool:
    dated = bare.startswith(own) and re.fullmatch(r"(\d{4}|\d{8})?", bare[len(own) :])
    return bool(dated) or _without_year(bare) == _without_year(own)


def _without_year(bare: str) -> str:
    """As Azure's bills have it: gpt4o0806 of gpt4o20240806."""
    return re.sub(r"20\d\d(\d{4})$", r"\1", bare)


def _bare(model: str) -> str:
    return re.sub(r"[\W_]", "", model).lower()


def _lines(file: BinaryIO) -> Iterator[str]:
    beginning = file.read(2)
    file.seek(0)
    encoding = "utf-16" if beginning in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = TextIOWrapper(file, encoding=encoding, newline=None)
    try:
        while line := text.readline(_LONGEST_LINE):
            yield line
    finally:
        text.detach()  # the file is the caller's to close


def _plus(one: Line, other: Line) -> Line:
    return replace(
        one,
        requests=_sum(one.requests, other.requests),
        input_tokens=_sum(one.input_tokens, other.input_tokens),
        cached_tokens=_sum(one.cached_tokens, other.cached_tokens),
        output_tokens=_sum(one.output_tokens, other.output_tokens),
        amount=_sum(one.amount, other.amount),
    )


def _sum(one: _Number | None, other: _Number | None) -> _Number | None:
    """Of what isn't known of a part, nothing is known of the whole."""
    return None if one is None or other is None else one + other


def _rounded(line: Line) -> Line:
    """With an amount as the ledger can hold it: ten places."""
    if line.amount is None:
        return line
    return replace(line, amount=line.amount.quantize(_PLACES, rounding=ROUND_HALF_EVEN))
