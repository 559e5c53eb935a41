"""What a creator or campaign costs, and what is left of what it earns. Amounts are exact decimals."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

# Enough for 20 digits divided by as many, before the last step rounds.
_EXACT = Context(prec=60)
_MONEY = Decimal(1).scaleb(-10)
_RATIO = Decimal(1).scaleb(-6)


@dataclass(frozen=True, slots=True)
class Economics:
    """The AI's cost, messages sent and revenue of the same days. Revenue that nobody has told is None."""

    ai_cost: Decimal = Decimal(0)
    messages_sent: int = 0
    revenue: Decimal | None = None

    @property
    def cost_per_message(self) -> Decimal | None:
        """None while nothing was sent: a cost that no message bears isn't zero a message."""
        if not self.messages_sent:
            return None
        return _quotient(self.ai_cost, Decimal(self.messages_sent), _MONEY)

    @property
    def margin(self) -> Decimal | None:
        """Revenue without the AI's cost; other costs are not known here."""
        return None if self.revenue is None else self.revenue - self.ai_cost

    @property
    def cost_share(self) -> Decimal | None:
        """The AI's cost as a share of revenue, 0.05 for 5 %. None where that is unknown or not above zero."""
        if self.revenue is None or self.revenue <= 0:
            return None
        return _quotient(self.ai_cost, self.revenue, _RATIO)


def _quotient(numerator: Decimal, denominator: Decimal, places: Decimal) -> Decimal:
    return _EXACT.divide(numerator, denominator).quantize(places, rounding=ROUND_HALF_EVEN, context=_EXACT)
