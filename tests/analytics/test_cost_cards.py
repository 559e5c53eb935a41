"""The cards of the admin's page Costs, in words."""

from datetime import date
from decimal import Decimal

import pytest

from apps.analytics.cost_cards import spent
from apps.analytics.cost_ranges import spend_of

TODAY, BEFORE = date(2026, 5, 14), date(2026, 5, 5)


@pytest.mark.parametrize(
    ("before", "note"),
    [
        ("0", "0.00 in the 7 days before"),
        ("100", "as much as in the 7 days before (100.00)"),
        ("80", "25.0 % more than in the 7 days before (80.00)"),
        ("200", "50.0 % less than in the 7 days before (200.00)"),
        ("9.09", "more than 10 times as much as in the 7 days before (9.09)"),
        ("0.0001", "more than 10 times as much as in the 7 days before (0.0001)"),
    ],
)
def test_what_was_spent_is_compared_with_as_many_days_before(before: str, note: str) -> None:
    amounts = {(TODAY, "openai"): Decimal(100), (BEFORE, "openai"): Decimal(before)}
    card = spent(spend_of(amounts, days=7, today=TODAY), 7, "/")
    assert (card.figure, card.note) == ("100.00", note)
