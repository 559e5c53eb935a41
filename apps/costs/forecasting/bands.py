"""An amount that isn't known yet: the point, and the intervals of 80 and 95 % around it."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from datetime import date
from decimal import Decimal
from typing import Any

# Below it a forecast says nothing.
PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Band:
    """With 80 % (95 %) the amount lies from `low_80` to `high_80` (`low_95`, `high_95`), ends included."""

    point: Decimal
    low_80: Decimal
    high_80: Decimal
    low_95: Decimal
    high_95: Decimal

    @classmethod
    def known(cls, amount: Decimal) -> "Band":
        """One that there is no doubt about."""
        return cls(*[amount] * 5)

    def at_least(self, amount: Decimal) -> "Band":
        """The same, knowing that it is no less: so much has been spent already."""
        return Band(*(max(each, amount) for each in astuple(self)))

    def at_most(self, amount: Decimal) -> "Band":
        """The same, knowing that it is no more: so much has been spent by later on."""
        return Band(*(min(each, amount) for each in astuple(self)))

    def plus(self, amount: Decimal) -> "Band":
        return Band(*(each + amount for each in astuple(self)))


NAMES = tuple(field.name for field in fields(Band))


@dataclass(frozen=True, slots=True)
class DayBand:
    """A day of a tenant's calendar with the band of an amount: the day's own, or the sum up to its end."""

    day: date
    band: Band

    def as_json(self) -> dict[str, str]:
        return {"day": self.day.isoformat(), **band_as_json(self.band)}

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> "DayBand":
        return cls(date.fromisoformat(found["day"]), band_of_json(found))


def band_as_json(band: Band) -> dict[str, str]:
    return {name: str(getattr(band, name)) for name in NAMES}


def band_of_json(found: Mapping[str, Any]) -> Band:
    return Band(*(Decimal(found[name]) for name in NAMES))
