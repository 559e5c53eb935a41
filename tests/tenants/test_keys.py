"""API keys are found by their secret while they may be used."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.tenants.doors import tenant_transaction
from apps.tenants.keys import create_api_key, find_api_key, revoke_api_key
from apps.tenants.models import ApiKey, Role, Tenant
from apps.tenants.system import system_transaction

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def made(agency: Tenant) -> tuple[ApiKey, str]:
    with system_transaction():
        row, key = create_api_key(
            tenant=agency, role=Role.CREATOR, name="Café “é”", expires_at=NOW + timedelta(days=1)
        )
        return ApiKey.objects.select_related("tenant").get(pk=row.pk), key


def test_a_key_is_found_with_all_its_columns_and_its_tenant(made: tuple[ApiKey, str]) -> None:
    row, key = made
    found = find_api_key(key, now=NOW)
    assert found is not None
    for whole, expected in ((found, row), (found.tenant, row.tenant)):
        assert not whole.get_deferred_fields()
        for field in expected._meta.concrete_fields:
            assert getattr(whole, field.attname) == getattr(expected, field.attname), field


def test_nobody_finds_what_may_not_be_used(made: tuple[ApiKey, str]) -> None:
    row, key = made
    assert find_api_key("hz_unknown", now=NOW) is None
    assert find_api_key(key, now=NOW + timedelta(days=1)) is None
    with system_transaction():
        revoke_api_key(key=row, now=NOW)
    assert find_api_key(key, now=NOW) is None


def test_its_last_use_is_noted_to_the_minute(made: tuple[ApiKey, str]) -> None:
    row, key = made
    noted = []
    for seconds in (0, 59, 61):
        find_api_key(key, now=NOW + timedelta(seconds=seconds))
        with system_transaction():
            noted.append(ApiKey.objects.values_list("last_used_at", flat=True).get(pk=row.pk))
    assert noted == [NOW, NOW, NOW + timedelta(seconds=61)]


def test_whoever_has_found_one_sees_no_more_than_before(
    made: tuple[ApiKey, str], agency: Tenant, stranger: Tenant
) -> None:
    _, key = made
    with tenant_transaction(stranger):
        assert find_api_key(key, now=NOW) is not None
        assert list(Tenant.objects.all()) == [stranger]
    find_api_key(key, now=NOW)
    assert not Tenant.objects.exists()
