"""A price that has begun stays, whoever tries."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import DatabaseError, IntegrityError
from django.utils import timezone

from apps.costs.models import Price
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = [
    {"input_per_million": 9},
    {"cached_input_per_million": 0},
    {"output_per_million": 0},
    {"batch_input_per_million": 1, "batch_output_per_million": 1},
    {"provider": "azure"},
    {"model": "another"},
    {"kind": "embedding", "output_per_million": 0},
    {"starts_at": timezone.now() + timedelta(days=9)},
]


def begins(**ahead: float) -> Price:
    return factories.price(starts_at=timezone.now() + timedelta(**ahead))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_price_that_has_begun_is_not_changed(change: dict[str, Any]) -> None:
    price = begins(days=-1)
    before = Price.objects.values().get(pk=price.pk)

    with pytest.raises(IntegrityError, match="has begun, so it stays"), system_transaction():
        Price.objects.filter(pk=price.pk).update(**change)

    assert Price.objects.values().get(pk=price.pk) == before


def test_nor_is_it_deleted() -> None:
    price = begins(days=-1)
    with pytest.raises(IntegrityError, match="has begun, so it stays"), system_transaction():
        Price.objects.filter(pk=price.pk).delete()
    assert Price.objects.filter(pk=price.pk).exists()


def test_not_even_by_a_statement_that_spares_all_but_one() -> None:
    begins(days=-1)
    factories.price(provider="azure", starts_at=timezone.now() + timedelta(days=1))
    with pytest.raises(IntegrityError), system_transaction():
        Price.objects.all().delete()
    assert Price.objects.count() == 2


def test_tenants_change_none_at_all(agency: Tenant) -> None:
    price = begins(days=1)
    with pytest.raises(DatabaseError, match="permission denied"), tenant_transaction(agency):
        Price.objects.filter(pk=price.pk).delete()


def test_only_its_note_may_change() -> None:
    price = begins(days=-1)
    with system_transaction():
        assert Price.objects.filter(pk=price.pk).update(note="by contract") == 1


def test_one_that_is_about_to_begin_counts_as_begun() -> None:
    price = begins(seconds=40)
    with pytest.raises(IntegrityError), system_transaction():
        Price.objects.filter(pk=price.pk).update(input_per_million=9)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_one_that_has_not_begun_may_change(change: dict[str, Any]) -> None:
    price = begins(minutes=5)
    with system_transaction():
        assert Price.objects.filter(pk=price.pk).update(**change) == 1


def test_one_that_has_not_begun_may_go() -> None:
    price = begins(minutes=5)
    with system_transaction():
        assert Price.objects.filter(pk=price.pk).delete()[0] == 1


def test_the_owner_may_put_things_right_by_hand() -> None:
    price = begins(days=-1)
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        owner.execute("UPDATE costs_price SET input_per_million = 9 WHERE id = %s", [price.pk])
        owner.execute("DELETE FROM costs_price WHERE id = %s", [price.pk])
    assert Price.objects.count() == 0


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"kind": "embedding"}, "price_embedding_has_no_output"),
        ({"kind": "image"}, "price_kind_known"),
        ({"batch_input_per_million": 1}, "price_batch_rates_together"),
        ({"batch_output_per_million": 1}, "price_batch_rates_together"),
        ({"batch_cached_input_per_million": 1}, "price_batch_rates_together"),
        ({"batch_input_per_million": -1, "batch_output_per_million": 1}, "price_batch_rates_together"),
        (
            {
                "batch_input_per_million": 1,
                "batch_output_per_million": 1,
                "batch_cached_input_per_million": -1,
            },
            "price_batch_cached_not_negative",
        ),
    ],
)
def test_a_price_that_can_not_be_is_refused(fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        factories.price(**fields)


def test_an_embedding_has_input_alone() -> None:
    assert factories.price(kind="embedding", output_per_million=0).pk
