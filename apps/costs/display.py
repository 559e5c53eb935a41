"""Costs as a tenant sees them: in dollars, and in its own currency beside them."""

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from apps.common.money import Money, plain
from apps.costs.currencies import Conversion, converted
from apps.costs.periods import period_start
from apps.costs.queries import Costs
from apps.costs.services.currencies import conversion_for
from apps.tenants.models import Tenant


@dataclass(slots=True)
class Display:
    """How a tenant's costs of some days are shown. Without a conversion it sees dollars, and those again."""

    currency: str
    conversion: Conversion | None
    incomplete: bool = False

    @classmethod
    def of(cls, tenant: Tenant, *, since: date, until: date, now: datetime) -> "Display":
        month = period_start("month", at=now, time_zone=tenant.time_zone)
        conversion = conversion_for(currency=tenant.currency, since=since, until=until, present_month=month)
        return cls(currency=tenant.currency, conversion=conversion)

    def sums(self, costs: Costs) -> dict[str, Any]:
        return {**asdict(costs), "cost": costs.cost, "display": self._money(costs)}

    def cells(self, costs: Costs) -> list[str]:
        """For a file's two further columns; an amount that isn't known is left out."""
        money = self._money(costs)
        return [plain(money.amount) if money else "", self.currency]

    def head(self) -> dict[str, Any]:
        """Of the answer as a whole, once its sums are made: why some of them are shown in dollars alone."""
        missing = self.conversion.missing if self.conversion and self.incomplete else None
        return {"display_currency": self.currency, "display_missing": missing}

    def _money(self, costs: Costs) -> Money | None:
        if self.conversion is None:
            return costs.cost
        if costs.converted is None:
            self.incomplete = True
            return None
        return Money(converted(costs.converted), self.currency)
