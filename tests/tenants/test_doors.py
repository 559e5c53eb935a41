"""The two doors to the database, and that nothing passes beside them."""

import pytest
from django.db import ProgrammingError, connection, transaction

from apps.messaging.models import Account
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def test_outside_of_a_door_nothing_is_visible(account: Account) -> None:
    assert not Account.objects.exists()


def test_a_tenant_sees_its_own_rows_only(account: Account, agency: Tenant, stranger: Tenant) -> None:
    with tenant_transaction(agency):
        assert Account.objects.get() == account
    with tenant_transaction(stranger):
        assert not Account.objects.exists()


def test_a_tenant_cannot_write_rows_of_another(agency: Tenant, stranger: Tenant) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"), tenant_transaction(stranger):
        Account.objects.create(tenant_id=agency.pk, external_id="x", name="x", credential="x")


def test_the_system_sees_every_tenant(account: Account, stranger: Tenant) -> None:
    factories.account(tenant=stranger)
    with system_transaction():
        assert Account.objects.count() == 2


def test_an_inner_door_gives_the_outer_one_back(account: Account, stranger: Tenant) -> None:
    with system_transaction():
        with tenant_transaction(stranger):
            assert not Account.objects.exists()
        assert Account.objects.exists()


def test_an_inner_door_that_fails_gives_the_outer_one_back(account: Account, stranger: Tenant) -> None:
    with system_transaction():
        with pytest.raises(ZeroDivisionError), tenant_transaction(stranger):
            raise ZeroDivisionError
        assert Account.objects.exists()


@pytest.mark.parametrize("table", ["costs_price", "ai_deployment", "ai_prompttemplate", "flags_flag"])
def test_a_tenant_cannot_change_what_all_tenants_share(table: str, agency: Tenant) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), tenant_transaction(agency):
        connection.cursor().execute(f"DELETE FROM {table}")  # noqa: S608


def test_every_table_with_a_tenant_has_policies() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relrowsecurity FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p')"
            " AND c.relnamespace = 'public'::regnamespace"
        )
        tables = dict(cursor.fetchall())
    assert len(tables) > 15
    assert [name for name, secured in tables.items() if not secured] == []
