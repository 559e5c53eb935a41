from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

# The ledger is kept in the currency that both providers bill in; another one is a matter of display.
LEDGER_CURRENCY = "USD"

_EXACT = Context(prec=60)
_CENT, _FOUR = Decimal("0.01"), Decimal("0.0001")


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


def as_json(money: Money) -> dict[str, str]:
    """Money as it stands in an answer: {"amount": "0.0123", "currency": "USD"}."""
    return {"amount": plain(money.amount), "currency": money.currency}


def rounded(amount: Decimal) -> Decimal:
    """As it is shown: to the cent; below a dollar to four places, or in full if they would say nothing."""
    places = _CENT if abs(amount) >= 1 else _FOUR
    found = amount.quantize(places, rounding=ROUND_HALF_UP, context=_EXACT)
    return found if found or not amount else amount
