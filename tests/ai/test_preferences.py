import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from apps.ai.models import RoutingPreference
from apps.ai.routing import Policy
from apps.ai.services.preferences import read_preferences
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def prefer(tenant: Tenant, preference: str) -> None:
    with system_transaction():
        RoutingPreference.objects.create(tenant_id=tenant.pk, preference=preference)


def test_a_tenant_without_a_row_is_balanced(agency: Tenant, stranger: Tenant) -> None:
    prefer(agency, "cheapest")
    prefer(stranger, "balanced")

    with system_transaction():
        found = read_preferences()

    assert found == {agency.pk: Policy.CHEAPEST}


def test_a_tenant_sees_no_preference_but_its_own(agency: Tenant, stranger: Tenant) -> None:
    prefer(agency, "cheapest")
    prefer(stranger, "quality")

    with tenant_transaction(agency):
        assert read_preferences() == {agency.pk: Policy.CHEAPEST}
        assert RoutingPreference.objects.filter(tenant_id=stranger.pk).update(preference="cheapest") == 0


def test_a_tenant_has_one_preference_of_those_that_there_are(agency: Tenant) -> None:
    prefer(agency, "quality")
    for preference in ("cheapest", "the best"):
        with pytest.raises(IntegrityError), transaction.atomic():
            prefer(agency, preference)


def test_an_operator_sets_and_changes_a_tenants_preference(client: Client, agency: Tenant) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    add = reverse("admin:ai_routingpreference_add")

    client.post(add, {"tenant": str(agency.pk), "preference": "quality"})
    again = client.post(add, {"tenant": str(agency.pk), "preference": "cheapest"})

    assert b"This tenant has a preference" in again.content
    with system_transaction():
        row = RoutingPreference.objects.get()
    assert (row.tenant_id, row.preference) == (agency.pk, "quality")
    client.post(reverse("admin:ai_routingpreference_change", args=[row.pk]), {"preference": "cheapest"})
    with system_transaction():
        assert read_preferences() == {agency.pk: Policy.CHEAPEST}
