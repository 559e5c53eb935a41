"""How the alerts of costs speak of money and budgets."""

from decimal import ROUND_HALF_UP, Decimal

from apps.common.money import LEDGER_CURRENCY, plain

# Characters of an alert's period.
PERIOD = 32


def named(limit: Decimal, period: str, scope: str) -> str:
    whose = "" if scope == "tenant" else f" for one {scope}"
    return f"the budget of {money(limit)} a {period}{whose}"


def money(amount: Decimal) -> str:
    """To the cent; below one, in full."""
    rounded = amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    return f"{plain(rounded if rounded else amount)} {LEDGER_CURRENCY}"
