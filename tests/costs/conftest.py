import pytest

from tests import factories
from tests.costs.rolled import make_partitions
from tests.costs.spending import dollar_price


@pytest.fixture
def year() -> None:
    """The ledger has partitions for 2026, whatever day it is."""
    make_partitions()


@pytest.fixture
def dollar_prices() -> None:
    """A byte is a dollar (tests/costs/spending.py)."""
    dollar_price()


@pytest.fixture
def price_id() -> int:
    return factories.price().pk
