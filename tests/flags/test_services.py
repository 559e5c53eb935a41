import pytest

from apps.flags.models import Flag, FlagOverride
from apps.flags.services import UnknownFlagError, read_flags, set_override
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

pytestmark = pytest.mark.django_db
HYBRID = "hybrid_orchestrator"


def enabled(tenant: Tenant, name: str = HYBRID, *, default: bool = False) -> bool:
    """The same for the tenant itself and for who reads the flags of all."""
    found = set()
    for door in (tenant_transaction(tenant), system_transaction()):
        with door:
            found.add(read_flags().is_enabled(name, tenant.pk, default=default))
    (is_enabled,) = found
    return is_enabled


def test_the_hybrid_orchestrator_is_on_for_everybody_at_first(agency: Tenant, stranger: Tenant) -> None:
    with system_transaction():
        flag = Flag.objects.get(name=HYBRID)
    assert flag.rollout_percent == 100
    assert flag.description
    assert enabled(agency)
    assert enabled(stranger)


def test_an_override_wins_for_its_tenant_alone(agency: Tenant, stranger: Tenant) -> None:
    with tenant_transaction(agency):
        set_override(name=HYBRID, tenant_id=agency.pk, enabled=False)

    assert not enabled(agency)
    assert enabled(stranger)
    with system_transaction():
        Flag.objects.filter(name=HYBRID).update(rollout_percent=0)
    with tenant_transaction(agency):
        set_override(name=HYBRID, tenant_id=agency.pk, enabled=True)
    assert enabled(agency)
    assert not enabled(stranger)


def test_an_override_that_is_given_up_leaves_it_to_the_rollout(agency: Tenant) -> None:
    for setting in (False, None):
        with tenant_transaction(agency):
            set_override(name=HYBRID, tenant_id=agency.pk, enabled=setting)

    assert enabled(agency)
    with system_transaction():
        assert not FlagOverride.objects.exists()


def test_an_unknown_flag_is_what_the_caller_says_and_cannot_be_set(agency: Tenant) -> None:
    assert enabled(agency, "missing", default=True)
    assert not enabled(agency, "missing", default=False)
    with tenant_transaction(agency), pytest.raises(UnknownFlagError):
        set_override(name="missing", tenant_id=agency.pk, enabled=True)
