"""Words of the page Costs for what a forecast says of a budget."""

from datetime import date
from decimal import Decimal

import pytest
from django.utils.html import strip_tags

from apps.analytics.cost_tables import exhausted
from apps.costs.forecast_reading import BudgetOutlook
from apps.costs.forecasting.dates import Reached
from apps.costs.models import Budget

EARLY, POINT, LATE = date(2026, 5, 23), date(2026, 5, 25), date(2026, 5, 28)


@pytest.mark.parametrize(
    ("point", "earliest", "latest", "said"),
    [
        (POINT, EARLY, LATE, ["2026-05-25", "80 %: from 2026-05-23 to 2026-05-28"]),
        (POINT, EARLY, None, ["2026-05-25", "80 %: from 2026-05-23"]),
        (None, EARLY, None, ["not in this period", "80 %: from 2026-05-23"]),
        (None, None, None, ["not in this period"]),
    ],
)
def test_the_day_on_which_a_budget_is_exhausted_has_its_interval(
    point: date | None, earliest: date | None, latest: date | None, said: list[str]
) -> None:
    reached = Reached(point, earliest, latest, earliest, latest)
    text = exhausted(BudgetOutlook(Budget(), EARLY, LATE, Decimal(1), None, reached))
    assert [strip_tags(line) for line in text.split("<br>")] == said


def test_of_a_budget_that_the_forecast_did_not_know_nothing_is_said() -> None:
    assert exhausted(None) == "-"
    assert exhausted(BudgetOutlook(Budget(), EARLY, LATE, Decimal(1), None, None)) == "-"
