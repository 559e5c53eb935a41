from apps.costs.models.budgets import (
    Budget,
    BudgetCounter,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    provider_problem,
)
from apps.costs.models.forecasts import Forecast
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price

__all__ = [
    "Attribution",
    "Budget",
    "BudgetCounter",
    "BudgetPeriod",
    "BudgetScope",
    "Forecast",
    "Hold",
    "HoldState",
    "LedgerEntry",
    "Price",
    "default_thresholds",
    "provider_problem",
]
