from apps.costs.models.budgets import (
    Budget,
    BudgetCounter,
    BudgetMode,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    scope_problems,
)
from apps.costs.models.currencies import ExchangeRate
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price, PriceKind

__all__ = [
    "Attribution",
    "Budget",
    "BudgetCounter",
    "BudgetMode",
    "BudgetPeriod",
    "BudgetScope",
    "ExchangeRate",
    "Hold",
    "HoldState",
    "LedgerEntry",
    "Price",
    "PriceKind",
    "default_thresholds",
    "scope_problems",
]
