"""Ranges of days, and the bars that they are shown in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from enum import StrEnum

from apps.costs.periods import last_day

_EXACT = Context(prec=60)
_TENTH = Decimal("0.1")


class Unit(StrEnum):
    """What a bar is of. Those at a range's ends may be cut off there."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# The number of days, today being the last, and the unit of their bars.
RANGES = {7: Unit.DAY, 30: Unit.DAY, 90: Unit.WEEK, 365: Unit.MONTH}


@dataclass(frozen=True, slots=True)
class Bar:
    """Some days, both included, with what they cost by provider."""

    first: date
    last: date
    amounts: Mapping[str, Decimal]

    @property
    def total(self) -> Decimal:
        return sum(self.amounts.values(), Decimal(0))


@dataclass(frozen=True, slots=True)
class Spend:
    """A range of days in bars, its providers by name, and what as many days before it cost."""

    unit: Unit
    bars: tuple[Bar, ...]
    providers: tuple[str, ...]
    before: Decimal

    @property
    def total(self) -> Decimal:
        return sum((bar.total for bar in self.bars), Decimal(0))

    @property
    def change(self) -> Decimal | None:
        """In percent of what was spent before; None where that was nothing."""
        return percent(self.total - self.before, self.before)


def spend_of(spent: Mapping[tuple[date, str], Decimal], *, days: int, today: date) -> Spend:
    """The last `days` of what was spent by (day, provider), which has as many days before them too."""
    since = today - timedelta(days=days - 1)
    unit = RANGES[days]
    bars = [
        Bar(first, last, _summed(spent, first, last)) for first, last in _bars(since, until=today, unit=unit)
    ]
    providers = sorted({provider for bar in bars for provider in bar.amounts})
    before = _summed(spent, since - timedelta(days=days), since - timedelta(days=1))
    return Spend(unit, tuple(bars), tuple(providers), sum(before.values(), Decimal(0)))


def percent(part: Decimal, whole: Decimal) -> Decimal | None:
    """To a tenth. None of nothing, and of less than that: corrections may bring a day below zero."""
    if whole <= 0:
        return None
    share = _EXACT.divide(_EXACT.multiply(part, Decimal(100)), whole)
    return share.quantize(_TENTH, rounding=ROUND_HALF_EVEN, context=_EXACT)


def _bars(since: date, *, until: date, unit: Unit) -> list[tuple[date, date]]:
    found, first = [], since
    while first <= until:
        last = min(first if unit is Unit.DAY else last_day(unit, first), until)
        found.append((first, last))
        first = last + timedelta(days=1)
    return found


def _summed(spent: Mapping[tuple[date, str], Decimal], first: date, last: date) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for (day, provider), amount in spent.items():
        if first <= day <= last:
            found[provider] = found.get(provider, Decimal(0)) + amount
    return found
