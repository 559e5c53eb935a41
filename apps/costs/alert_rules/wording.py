"""How the alerts of costs speak of money and budgets."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from apps.common.money import LEDGER_CURRENCY, plain
from apps.notifications.channels.base import one_line

# Characters of an alert's period.
PERIOD = 32
# Of a name, so many: what comes before it fits into a mail's subject with it.
_NAME = 40
_CENT, _FINE = Decimal("0.01"), Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Whose:
    """What a budget is for, and what people know that by."""

    scope: str
    scope_id: UUID | None
    provider: str
    name: str = ""

    def __str__(self) -> str:
        if self.scope == "tenant":
            return ""
        name = f"“{one_line(self.name, most=_NAME)}”" if self.name else self.scope_id or self.provider
        return f" for the {self.scope} {name}"

    @property
    def data(self) -> dict[str, str | None]:
        """As the API has it of a budget."""
        scope_id = str(self.scope_id) if self.scope_id else None
        return {"scope": self.scope, "scope_id": scope_id, "provider": self.provider or None}


def named(limit: Decimal, period: str, whose: Whose) -> str:
    return f"the budget of {money(limit) if limit else 'nothing'} a {period}{whose}"


def money(amount: Decimal) -> str:
    """To the cent; below 10, to four places if they are needed; below a cent, in full."""
    if not amount.quantize(_CENT, rounding=ROUND_HALF_UP):
        return f"{plain(amount)} {LEDGER_CURRENCY}"
    rounded = amount.quantize(_FINE if abs(amount) < 10 else _CENT, rounding=ROUND_HALF_UP)
    return f"{plain(rounded)} {LEDGER_CURRENCY}"
