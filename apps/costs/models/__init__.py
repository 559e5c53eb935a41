from apps.costs.models.budgets import (
    Budget,
    BudgetCounter,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    provider_problem,
)
from apps.costs.models.currencies import ExchangeRate
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price, PriceKind

__all__ = [
    "Attribution",
    "Budget",
    "BudgetCounter",
    "BudgetPeriod",
    "BudgetScope",
    "ExchangeRate",
    "Hold",
    "HoldState",
    "LedgerEntry",
    "Price",
    "PriceKind",
    "default_thresholds",
    "provider_problem",
]
