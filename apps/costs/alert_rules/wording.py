"""How the alerts of costs speak of money and budgets."""

from decimal import ROUND_HALF_UP, Decimal

from apps.common.money import LEDGER_CURRENCY, plain

# Characters of an alert's period.
PERIOD = 32
_CENT, _FINE = Decimal("0.01"), Decimal("0.0001")


def named(limit: Decimal, period: str, scope: str) -> str:
    whose = "" if scope == "tenant" else f" for one {scope}"
    return f"the budget of {money(limit)} a {period}{whose}"


def money(amount: Decimal) -> str:
    """To the cent; below 10, to four places if they are needed; below a cent, in full."""
    if not amount.quantize(_CENT, rounding=ROUND_HALF_UP):
        return f"{plain(amount)} {LEDGER_CURRENCY}"
    rounded = amount.quantize(_FINE if abs(amount) < 10 else _CENT, rounding=ROUND_HALF_UP)
    return f"{plain(rounded)} {LEDGER_CURRENCY}"
