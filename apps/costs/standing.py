"""How a budget stands in one of its periods. Pure."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Context, Decimal

_EXACT = Context(prec=60)
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a period (`end` is the next one's first instant) has spent and holds of its limit.

    `shadow_calls` and `shadow_amount`: the calls that the budget let pass in shadow mode though they didn't
    fit, and what they could have cost at most.
    """

    start: datetime
    end: datetime
    limit: Decimal
    spent: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    shadow_calls: int = 0
    shadow_amount: Decimal = Decimal(0)

    @property
    def remaining(self) -> Decimal:
        """What may still be held; nothing where more is spent and held than the limit."""
        return max(self.limit - self.spent - self.held, Decimal(0))

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left even if the calls in flight cost nothing."""
        return self.spent >= self.limit

    @property
    def percent(self) -> Decimal | None:
        """Of the limit, what is spent: thresholds go by it. None of a limit of nothing."""
        return self._share(self.spent)

    @property
    def held_percent(self) -> Decimal | None:
        """Of the limit, what calls in flight hold."""
        return self._share(self.held)

    def _share(self, amount: Decimal) -> Decimal | None:
        # Rounded down, so that what shows 100 % has reached it.
        if not self.limit:
            return None
        share = _EXACT.divide(_EXACT.multiply(amount, Decimal(100)), self.limit)
        return share.quantize(_TENTH, rounding=ROUND_FLOOR, context=_EXACT)
