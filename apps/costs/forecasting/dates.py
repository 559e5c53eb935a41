"""When a limit is reached, from what the sum of each day of a period may be.

A sum never falls, so the limit is reached by a day's end if and only if that day's sum is no less. The
interval of the date so follows from those of the sums: it begins when the highest sum reaches the limit, and
ends when the lowest does. A limit that is changed after the forecast needs no new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from apps.costs.forecasting.bands import DayBand


@dataclass(frozen=True, slots=True)
class Reached:
    """The day on which a limit is reached, and its intervals. None: not in this period."""

    point: date | None
    earliest_80: date | None
    latest_80: date | None
    earliest_95: date | None
    latest_95: date | None


def reached(limit: Decimal, sums: Sequence[DayBand]) -> Reached:
    """The first days, of consecutive ones, whose sums are no less than the limit.

    A limit of zero is reached by nothing but spend: on the first day whose sum is above it.
    """

    def first(name: str) -> date | None:
        amounts = ((each.day, getattr(each.band, name)) for each in sums)
        return next((day for day, amount in amounts if amount >= limit and amount > 0), None)

    return Reached(
        point=first("point"),
        earliest_80=first("high_80"),
        latest_80=first("low_80"),
        earliest_95=first("high_95"),
        latest_95=first("low_95"),
    )
