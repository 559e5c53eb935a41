from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.costs.models import Price
from apps.costs.price_list import AS_OF
from apps.costs.services.prices import ensure_prices
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def ensure() -> int:
    with system_transaction():
        return ensure_prices(now=timezone.now())


def price(model: str, *, provider: str = "openai") -> Price:
    with system_transaction():
        found = Price.objects.in_force(provider=provider, model=model, at=timezone.now())
    assert found is not None
    return found


def test_list_prices_are_entered_once_and_never_over_an_operators_own() -> None:
    own = factories.price(provider="openai", model="gpt-4o", input_per_million="9.99")

    first, second = ensure(), ensure()

    assert (first > 100, second) == (True, 0)
    assert price("gpt-4o") == own
    assert price("gpt-4o", provider="azure").cached_input_per_million == Decimal("1.25")


def test_a_seeded_price_has_held_since_long_before_the_first_call() -> None:
    ensure()

    with system_transaction():
        assert set(Price.objects.values_list("starts_at", flat=True)) == {AS_OF}
        assert Price.objects.in_force(provider="openai", model="gpt-4o", at=AS_OF) is not None
        before = AS_OF - timedelta(seconds=1)
        assert Price.objects.in_force(provider="openai", model="gpt-4o", at=before) is None


def test_what_the_list_says_is_entered_to_the_last_digit() -> None:
    ensure()

    mini = price("gpt-4o-mini")
    assert (mini.input_per_million, mini.cached_input_per_million, mini.output_per_million) == (
        Decimal("0.15"),
        Decimal("0.075"),
        Decimal("0.60"),
    )
    assert (mini.batch_input_per_million, mini.batch_output_per_million) == (Decimal("0.075"), Decimal("0.3"))
    assert mini.note.startswith("genai-prices ")
    small = price("text-embedding-3-small", provider="azure")
    assert (small.kind, small.input_per_million, small.output_per_million) == (
        "embedding",
        Decimal("0.02"),
        Decimal(0),
    )


def test_of_each_model_the_latest_that_has_begun_is_in_force() -> None:
    now = timezone.now()
    factories.price(model="a", starts_at=now - timedelta(days=2))
    newer = factories.price(model="a", starts_at=now)
    factories.price(model="a", starts_at=now + timedelta(seconds=1))
    other = factories.price(provider="azure", model="a", starts_at=now - timedelta(days=3))

    with system_transaction():
        assert Price.objects.all_in_force(at=now) == [other, newer]
