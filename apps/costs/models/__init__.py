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
from apps.costs.models.forecasts import Forecast
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price, PriceKind
from apps.costs.models.reconciliation import (
    BilledBy,
    CorrectionState,
    DifferenceState,
    ImportState,
    UsageCorrection,
    UsageDifference,
    UsageImport,
    UsageLine,
)

__all__ = [
    "Attribution",
    "BilledBy",
    "Budget",
    "BudgetCounter",
    "BudgetMode",
    "BudgetPeriod",
    "BudgetScope",
    "CorrectionState",
    "DifferenceState",
    "ExchangeRate",
    "Forecast",
    "Hold",
    "HoldState",
    "ImportState",
    "LedgerEntry",
    "Price",
    "PriceKind",
    "UsageCorrection",
    "UsageDifference",
    "UsageImport",
    "UsageLine",
    "default_thresholds",
    "scope_problems",
]
