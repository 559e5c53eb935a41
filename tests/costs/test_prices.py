from decimal import Decimal

import pytest
from django.utils import timezone

from apps.costs.models import Price
from apps.costs.services.prices import ensure_prices
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def test_list_prices_are_entered_once_and_never_over_an_operators_own() -> None:
    own = factories.price(provider="openai", model="gpt-4o", input_per_million="9.99")

    with system_transaction():
        first, second = ensure_prices(), ensure_prices()
        kept = Price.objects.in_force(provider="openai", model="gpt-4o", at=timezone.now())
        listed = Price.objects.in_force(provider="azure", model="gpt-4o", at=timezone.now())

    assert (first, second) == (13, 0)
    assert kept == own
    assert listed is not None
    assert listed.cached_input_per_million == Decimal("1.25")
