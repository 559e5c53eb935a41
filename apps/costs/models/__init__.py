from apps.costs.models.budgets import (
    Budget,
    BudgetCounter,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
    provider_problem,
)
from apps.costs.models.ledger import Attribution, Hold, HoldState, LedgerEntry
from apps.costs.models.prices import Price
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
    "BudgetPeriod",
    "BudgetScope",
    "CorrectionState",
    "DifferenceState",
    "Hold",
    "HoldState",
    "ImportState",
    "LedgerEntry",
    "Price",
    "UsageCorrection",
    "UsageDifference",
    "UsageImport",
    "UsageLine",
    "default_thresholds",
    "provider_problem",
]
