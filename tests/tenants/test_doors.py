"""The doors to the database, and that nothing passes beside them."""

import pytest
from django.db import DataError, ProgrammingError, connection, transaction
from django.utils import timezone

from apps.common.ids import uuid7
from apps.messaging.models import Account
from apps.tenants.doors import call_for_tenant, tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import call_for_system, system_transaction
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


@pytest.fixture
def count_accounts() -> str:
    """A function of this test's connection that counts the accounts that it sees."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.count_accounts("
            "p_tenant uuid, p_added integer, OUT seen bigint, OUT scope text"
            ") LANGUAGE plpgsql AS $$ BEGIN SELECT count(*) + p_added, current_setting('huntaze.tenant_id')"
            " INTO seen, scope FROM messaging_account; END $$"
        )
    return "pg_temp.count_accounts"


def test_a_called_function_sees_its_tenants_rows_only(
    account: Account, agency: Tenant, stranger: Tenant, count_accounts: str
) -> None:
    assert call_for_tenant(agency, count_accounts, 10) == {"seen": 11, "scope": str(agency.pk)}
    assert call_for_tenant(stranger.pk, count_accounts, 10) == {"seen": 10, "scope": str(stranger.pk)}


@pytest.mark.parametrize("outer", ["same", "other", "system"])
def test_a_call_inside_a_transaction_gives_its_scope_back(
    account: Account, agency: Tenant, stranger: Tenant, count_accounts: str, outer: str
) -> None:
    doors = {
        "same": tenant_transaction(agency),
        "other": tenant_transaction(stranger),
        "system": system_transaction(),
    }
    with doors[outer]:
        before = Account.objects.count()
        assert call_for_tenant(agency, count_accounts, 0)["seen"] == 1
        assert Account.objects.count() == before
        with pytest.raises(DataError):
            call_for_tenant(agency, count_accounts, "no number")
        assert Account.objects.count() == before


def test_the_systems_function_sees_every_tenant_and_gives_the_scope_back(
    account: Account, agency: Tenant, stranger: Tenant
) -> None:
    factories.account(tenant=stranger)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.count_all(p_added integer, OUT seen bigint) LANGUAGE plpgsql AS $$"
            " BEGIN PERFORM set_config('role', 'huntaze_system', true);"
            " SELECT count(*) + p_added INTO seen FROM messaging_account; END $$"
        )
    with tenant_transaction(agency):
        assert call_for_system("pg_temp.count_all", 10) == {"seen": 12}
        assert Account.objects.get() == account
    assert call_for_system("pg_temp.count_all", 0) == {"seen": 2}
    assert not Account.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_systems_call_leaves_no_role_behind() -> None:
    now = timezone.now()
    connection.ensure_connection()
    assert call_for_system("ai_claim_generation", None, now, now)["id"] is None
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('role'), current_user")
        assert cursor.fetchone() == ("none", "huntaze_app")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_connection", [False, True])
def test_a_call_leaves_no_scope_behind(account: Account, agency: Tenant, has_connection: bool) -> None:
    connection.close()
    # With the pool go its other connections: one alone can answer below.
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's alone has one
    if has_connection:
        connection.ensure_connection()

    assert call_for_tenant(agency, "costs_release_hold", uuid7(), timezone.now()) == {"called": False}

    assert (connection.connection is not None) is has_connection
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('huntaze.tenant_id', true), current_setting('role')")
        # Empty, not missing: it was set on this very connection.
        assert cursor.fetchone() == ("", "none")
    assert not Account.objects.exists()


def test_our_functions_may_be_called_by_our_roles_alone() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT grantee::regrole::text, count(*)"
            " FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))"
            " WHERE pronamespace = 'public'::regnamespace AND proname ~ '^(ai|costs)_' GROUP BY grantee"
        )
        may = dict(cursor.fetchall())
    assert may.keys() == {"huntaze_owner", "huntaze_app", "huntaze_system"}
    assert min(may.values()) >= 8
