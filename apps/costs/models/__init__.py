from apps.costs.models.budgets import (
    Budget,
    BudgetCounter,
    BudgetMode,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    scope_problems,
)
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price

__all__ = [
    "Attribution",
    "Budget",
    "BudgetCounter",
    "BudgetMode",
    "BudgetPeriod",
    "BudgetScope",
    "Hold",
    "HoldState",
    "LedgerEntry",
    "Price",
    "default_thresholds",
    "scope_problems",
]
