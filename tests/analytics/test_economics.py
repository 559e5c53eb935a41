"""The arithmetic of unit economics."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.analytics.economics import Economics

amounts = st.integers(0, 10**18).map(lambda units: Decimal(units).scaleb(-10))


@given(amounts, st.integers(1, 10**9), amounts)
def test_figures_are_exact_to_their_last_place(cost: Decimal, sent: int, revenue: Decimal) -> None:
    found = Economics(cost, sent, revenue)
    assert found.cost_per_message is not None
    assert abs(found.cost_per_message * sent - cost) <= Decimal("0.00000000005") * sent
    assert found.margin == revenue - cost
    if found.cost_share is None:
        assert revenue == 0
    else:
        assert abs(found.cost_share * revenue - cost) <= Decimal("0.0000005") * revenue


@pytest.mark.parametrize("revenue", [None, Decimal(0), Decimal("-3.5")])
def test_what_is_unknown_is_never_zero(revenue: Decimal | None) -> None:
    found = Economics(Decimal(2), 0, revenue)
    assert found.cost_per_message is None
    assert found.cost_share is None
    assert found.margin == (None if revenue is None else revenue - 2)
