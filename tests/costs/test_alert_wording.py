"""How alerts speak of money."""

from decimal import Decimal

import pytest

from apps.costs.alert_rules.wording import money


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0.043", "0.043 USD"),
        ("0.0461249", "0.0461 USD"),
        ("9.99994", "9.9999 USD"),
        ("9.99995", "10.00 USD"),
        ("5", "5.00 USD"),
        ("1.5000", "1.50 USD"),
        ("10.0451", "10.05 USD"),
        ("1234.5", "1234.50 USD"),
        ("0.000001", "0.000001 USD"),
        ("0.0000125", "0.0000125 USD"),
        ("0", "0.00 USD"),
    ],
)
def test_money_is_said_with_as_many_decimals_as_it_takes(amount: str, said: str) -> None:
    assert money(Decimal(amount)) == said
