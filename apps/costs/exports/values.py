"""The cells of a provider's export: days, numbers and amounts, however a spreadsheet has spelt them."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

_EARLIEST, _LATEST = date(2015, 1, 1), date(2100, 12, 31)
# More than any provider counts in a day; a number beyond it is of another column.
MOST_TOKENS = 10**15
MOST_AMOUNT = Decimal(10) ** 9
_GROUPED = re.compile(r"-?\d{1,3}([.,]\d{3})+")
_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
_UNIT = re.compile(r"(\d[\d.,]*)\s*([KM]?)\b", re.IGNORECASE)
_SCALES = {"": 1, "K": 1_000, "M": 1_000_000}


def read_day(text: str) -> date:
    """The UTC day of a date, a time with or without an offset (UTC then), or seconds since 1970.

    A date with slashes is month, day, year, as Azure writes it. Raises ValueError, which says what is right.
    """
    try:
        day = _day(text.strip())
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"“{text}” is no day: write 2026-03-31, or a time as ISO 8601 has it.") from error
    if not _EARLIEST <= day <= _LATEST:
        raise ValueError(f"{day} can't be: days are from {_EARLIEST} to {_LATEST}.")
    return day


def _day(text: str) -> date:
    if text.isascii() and text.isdigit() and len(text) in (9, 10):
        return datetime.fromtimestamp(int(text), tz=UTC).date()
    if american := _AMERICAN.fullmatch(text.partition(" ")[0]):
        month, day, year = map(int, american.groups())
        return date(year, month, day)
    moment = datetime.fromisoformat(text.removesuffix(" UTC").strip())
    return moment.astimezone(UTC).date() if moment.tzinfo else moment.date()


def read_count(text: str, *, decimal_comma: bool) -> int:
    """A number of tokens or requests, none below zero. Groups of three may be apart. Raises ValueError."""
    bare = _bare(text)
    if _GROUPED.fullmatch(bare):
        bare = re.sub(r"[.,]", "", bare)
    number = _decimal(bare, decimal_comma=decimal_comma)
    if number is None or number != number.to_integral_value() or not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"“{text}” is no whole number from 0 to {MOST_TOKENS:,}.")
    return int(number)


def read_amount(text: str, *, decimal_comma: bool) -> Decimal:
    """An amount of money, none below zero, as exact as it is written. Raises ValueError.

    Where cells are parted by semicolons a comma alone is the decimal one, elsewhere it parts groups.
    """
    number = _decimal(_bare(text).lstrip("$"), decimal_comma=decimal_comma)
    if number is None or not 0 <= number <= MOST_AMOUNT:
        raise ValueError(f"“{text}” is no amount from 0 to {MOST_AMOUNT:,}, such as 12.3456.")
    return number


def read_unit(text: str) -> int:
    """How many tokens a unit of measure has: “1K”, “1M Tokens”, “1000”. Raises ValueError."""
    found = _UNIT.match(text.strip())
    if found is None:
        raise ValueError(f"“{text}” is no unit of tokens, such as 1K or 1M.")
    return int(found[1].replace(",", "").partition(".")[0]) * _SCALES[found[2].upper()]


def _bare(text: str) -> str:
    # Spreadsheets part groups by spaces of several kinds, and by apostrophes.
    return re.sub(r"[\s'\u2019]", "", text)


def _decimal(bare: str, *, decimal_comma: bool) -> Decimal | None:
    if "," in bare and "." in bare:
        comma_is_last = bare.rfind(",") > bare.rfind(".")
        bare = bare.replace(".", "").replace(",", ".") if comma_is_last else bare.replace(",", "")
    elif "," in bare:
        bare = bare.replace(",", "." if decimal_comma else "")
    if not bare.isascii():
        return None
    try:
        number = Decimal(bare)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < 40 else None
