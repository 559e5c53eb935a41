from dataclasses import dataclass
from decimal import Decimal

# The ledger is kept in the currency that both providers bill in; another one is a matter of display.
LEDGER_CURRENCY = "USD"


@dataclass(frozen=True)
class Money:
    """An amount with its currency (ISO 4217)."""

    amount: Decimal
    currency: str = LEDGER_CURRENCY


def plain(amount: Decimal) -> str:
    """An amount in plain digits: at least two decimals, no further trailing zeros."""
    text = f"{amount:f}"
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
