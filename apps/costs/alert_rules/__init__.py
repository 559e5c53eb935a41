"""What costs tell people of, by the names under which notifications know the rules."""

from apps.costs.alert_rules.budgets import (
    budgets_at_a_threshold,
    budgets_exceeded,
    budgets_in_shadow,
)
from apps.costs.alert_rules.calls import usage_above_bound
from apps.costs.alert_rules.forecasts import forecasts_over_budget
from apps.costs.alert_rules.spend import dear_days, spend_spikes

RULES = {
    "budget_threshold": budgets_at_a_threshold,
    "budget_exceeded": budgets_exceeded,
    "budget_shadow": budgets_in_shadow,
    "daily_cost": dear_days,
    "spend_spike": spend_spikes,
    "forecast_over_budget": forecasts_over_budget,
    "usage_above_bound": usage_above_bound,
}
# What their alerts' subjects are ids of.
SUBJECTS = {
    "budget_threshold": "budget",
    "budget_exceeded": "budget",
    "budget_shadow": "budget",
    "forecast_over_budget": "budget",
    "usage_above_bound": "hold",
}

__all__ = ["RULES", "SUBJECTS", "budgets_at_a_threshold", "budgets_exceeded"]
