"""Costs as a tenant sees them: in dollars, and in its own currency beside them."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from apps.common.money import Money, as_json, plain
from apps.costs.currencies import Conversion, converted, times
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
        """As an answer has them (CostsSerializer)."""
        money = self._money(costs)
        return {
            "attempts": costs.attempts,
            "estimated": costs.estimated,
            "input_tokens": costs.input_tokens,
            "cached_tokens": costs.cached_tokens,
            "output_tokens": costs.output_tokens,
            "cost": as_json(costs.cost),
            "display": as_json(money) if money else None,
        }

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


@dataclass(frozen=True, slots=True)
class AtOneRate:
    """How amounts are shown that have no day of their own, such as a limit, or what is still to come.

    All of an answer at one day's rate, so that they compare as the dollars do. Without a rate none is shown.
    """

    currency: str
    per_usd: Decimal | None
    missing: str | None = None

    @classmethod
    def of(cls, tenant: Tenant, *, day: date) -> "AtOneRate":
        found = conversion_for(currency=tenant.currency, since=day, until=day, present_month=day)
        if found is None:
            return cls(tenant.currency, Decimal(1))
        return cls(tenant.currency, found.days.get(day), found.missing)

    def money(self, dollars: Decimal | None) -> Money | None:
        """Null also for what isn't known in dollars."""
        if dollars is None or self.per_usd is None:
            return None
        return Money(times(dollars, self.per_usd), self.currency)

    def head(self) -> dict[str, Any]:
        """Of the answer as a whole: the currency, and why amounts are shown in dollars alone."""
        return {"display_currency": self.currency, "display_missing": self.missing}
