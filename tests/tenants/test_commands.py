"""The commands that set an installation up."""

import io
import json
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.tenants.keys import find_api_key
from apps.tenants.models import Membership, Role, Tenant, User
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def run(*words: str) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    call_command(*words, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


def printed(output: str) -> dict[str, Any]:
    return dict(line.split(" ", 1) for line in output.splitlines())


def test_a_tenant_gets_an_owner_without_a_password_that_would_open_nothing() -> None:
    output, errors = run("create_tenant", "Ada's agency", "--email", "ada@example.com")
    words = printed(output)
    with system_transaction():
        tenant = Tenant.objects.get(pk=words["tenant"])
        member = Membership.objects.select_related("user").get(tenant=tenant)
    assert words == {"tenant": str(tenant.pk), "owner": str(member.user.pk)}
    assert (tenant.name, member.role, member.user.email) == ("Ada's agency", Role.OWNER, "ada@example.com")
    assert not member.user.has_usable_password()
    assert errors == ""


def test_somebody_known_becomes_the_owner_and_keeps_the_password() -> None:
    ada = factories.user(email="ada@example.com", password="as it was")
    output, errors = run("create_tenant", "Another agency", "--email", "ADA@example.com")
    assert printed(output)["owner"] == str(ada.pk)
    assert "ada@example.com was a user already" in errors
    assert User.objects.get() == ada
    assert User.objects.get().check_password("as it was")


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(CommandError, match="email: Enter a valid email address"):
        run("create_tenant", "Ada's", "--email", "ada")
    with system_transaction():
        assert not Tenant.objects.exists()


def test_a_name_that_is_in_use_is_refused(agency: Tenant) -> None:
    with pytest.raises(CommandError, match="choose another name"):
        run("create_tenant", agency.name, "--email", "twin@example.com")


@pytest.mark.parametrize("by", ["name", "id"])
def test_a_key_is_printed_alone(by: str, agency: Tenant) -> None:
    words = agency.name if by == "name" else str(agency.pk)
    output, _ = run("create_api_key", words, "--role", "manager", "--name", "front end")
    assert output.count("\n") == 1
    key = find_api_key(output.strip(), now=timezone.now())
    assert key is not None
    assert (key.tenant, key.role, key.name) == (agency, Role.MANAGER, "front end")


def test_a_key_for_nobody_or_for_several_is_refused() -> None:
    with pytest.raises(CommandError, match="no tenant"):
        run("create_api_key", "Nobody", "--role", "manager")
    factories.tenant(name="Twin")
    factories.tenant(name="Twin")
    with pytest.raises(CommandError, match="Several tenants"):
        run("create_api_key", "Twin", "--role", "manager")


def test_the_first_superuser_has_the_generated_password() -> None:
    run("ensure_admin")
    run("ensure_admin")
    admin = User.objects.get()
    assert (admin.email, admin.is_staff, admin.is_superuser) == ("admin@localhost", True, True)
    kept = json.loads((settings.HOME / "secrets.json").read_text())
    assert admin.check_password(kept["admin_password"])


def test_where_there_is_a_superuser_no_other_is_made() -> None:
    factories.user(is_superuser=True)
    run("ensure_admin")
    assert User.objects.count() == 1
