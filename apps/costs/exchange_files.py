"""Rates of exchange from a file: ours, of `date,currency,rate`, or the European Central Bank's eurofxref."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from apps.costs.currencies import CODE, HIGHEST_RATE, LOWEST_RATE

_OURS = ["date", "currency", "rate"]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"\d{1,10}(\.\d+)?", re.ASCII)
_PLACES = 10
_EXACT = Context(prec=60)
_NOTHING = ("", "N/A")


@dataclass(frozen=True, slots=True)
class ReadRate:
    """What a dollar is in a currency from a day on, by a line of a file."""

    line: int
    currency: str
    date: date
    per_usd: Decimal


@dataclass(frozen=True, slots=True)
class ReadFile:
    """Either all of a file's rates, or what is wrong with it, line by line."""

    rates: list[ReadRate] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _ProblemError(ValueError):
    pass


def read_rates(text: str, *, today: date) -> ReadFile:
    """Read a file of rates. Of one with a mistake nothing is used: it can be mended and read again."""
    found: dict[tuple[str, date], ReadRate] = {}
    problems: list[str] = []
    lines = csv.reader(text.splitlines(), strict=True, skipinitialspace=True)
    try:
        head = _head(next(lines, []))
        for cells in lines:
            if not any(cells):
                continue
            try:
                _add(found, head, cells, line=lines.line_num, today=today)
            except _ProblemError as problem:
                problems.append(f"line {lines.line_num}: {problem}")
    except (_ProblemError, csv.Error) as problem:
        problems.append(f"line {max(lines.line_num, 1)}: {problem}")
    if not found and not problems:
        problems.append("there are no rates in it")
    return ReadFile(problems=problems) if problems else ReadFile(list(found.values()))


def _head(cells: Sequence[str]) -> list[str]:
    names = [each.strip() for each in cells]
    if [each.lower() for each in names] == _OURS:
        return _OURS
    codes = [each for each in names[1:] if each]
    if names[:1] == ["Date"] and "USD" in codes and all(re.fullmatch(CODE, each) for each in codes):
        if len(set(codes)) < len(codes):
            raise _ProblemError("a currency is there twice")
        return names
    raise _ProblemError(
        "it has to begin with “date,currency,rate”, rates being of one US dollar, or be the ECB's eurofxref, "
        "which begins with “Date” and the currencies, USD among them"
    )


def _add(
    found: dict[tuple[str, date], ReadRate],
    head: Sequence[str],
    cells: Sequence[str],
    *,
    line: int,
    today: date,
) -> None:
    values = [each.strip() for each in cells]
    if len(values) != len(head):
        raise _ProblemError(f"it has {len(values)} values, and the head {len(head)}")
    day = _day(values[0], today=today)
    of_line = _ours(values) if head is _OURS else _of_ecb(head, values)
    for currency, rate in of_line:
        _check(currency, rate)
        before = found.setdefault((currency, day), ReadRate(line, currency, day, rate))
        if before.per_usd != rate:
            raise _ProblemError(f"line {before.line} has another rate of {currency} for {day}")


def _ours(values: Sequence[str]) -> Iterator[tuple[str, Decimal]]:
    rate = _number(values[2])
    if -int(rate.as_tuple().exponent) > _PLACES:
        raise _ProblemError(f"“{values[2]}” has more than {_PLACES} decimals")
    yield values[1], rate


def _of_ecb(head: Sequence[str], values: Sequence[str]) -> Iterator[tuple[str, Decimal]]:
    """What a euro is in each currency; through the dollar's, what a dollar is."""
    per_euro = {
        currency: _number(value)
        for currency, value in zip(head, values, strict=True)
        if currency not in ("Date", "") and value not in _NOTHING
    }
    dollar = per_euro.pop("USD", None)
    if not dollar:
        raise _ProblemError("it has no rate of USD, through which the others are reckoned")
    for currency, rate in {"EUR": Decimal(1), **per_euro}.items():
        per_usd = _EXACT.divide(rate, dollar)
        yield (
            currency,
            per_usd.quantize(Decimal(1).scaleb(-_PLACES), rounding=ROUND_HALF_EVEN, context=_EXACT),
        )


def _day(text: str, *, today: date) -> date:
    try:
        # The bank's file of one day writes 28 November 2025; a day has no time zone.
        ours = _DAY.fullmatch(text)
        day = date.fromisoformat(text) if ours else datetime.strptime(text, "%d %B %Y").date()  # noqa: DTZ007
    except ValueError:
        raise _ProblemError(f"“{text}” is no day: write it as 2025-11-28") from None
    if day > today:
        raise _ProblemError(f"{day} is still to come")
    return day


def _number(text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise _ProblemError(f"“{text}” is no rate: write it as 0.9215")
    return Decimal(text)


def _check(currency: str, rate: Decimal) -> None:
    if not re.fullmatch(CODE, currency):
        raise _ProblemError(f"“{currency}” is no currency: write three capital letters, as EUR")
    if currency == "USD":
        raise _ProblemError("the ledger is in USD, which needs no rate")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise _ProblemError(f"{rate:f} is no rate from {LOWEST_RATE:f} to {HIGHEST_RATE:,}")
