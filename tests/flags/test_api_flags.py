from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.flags.models import Flag, FlagOverride
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests.conftest import as_json, client_of

pytestmark = pytest.mark.django_db
URL = "/api/admin/feature-flags"


@pytest.fixture
def owner_api(agency: Tenant) -> APIClient:
    """The API as Ada."""
    return client_of(agency, Role.OWNER)


def listed(api: APIClient) -> dict[str, Any]:
    return {flag.pop("name"): flag for flag in as_json(api.get(URL))["results"]}


def switch(api: APIClient, enabled: Any, name: str = "hybrid_orchestrator", **headers: str) -> Any:
    return api.post(URL, {"name": name, "enabled": enabled}, headers=headers)


def test_an_owner_sees_what_can_be_switched(owner_api: APIClient) -> None:
    with system_transaction():
        Flag.objects.create(name="tomorrow", description="Not yet.")

    flags = listed(owner_api)

    assert flags["tomorrow"] == {"description": "Not yet.", "enabled": False, "source": "rollout"}
    assert flags["hybrid_orchestrator"]["enabled"] is True
    assert flags["hybrid_orchestrator"]["source"] == "rollout"


def test_an_owner_switches_a_feature_for_its_own_tenant(owner_api: APIClient, stranger: Tenant) -> None:
    answer = switch(owner_api, False)

    assert answer.status_code == 200
    assert as_json(answer) == {"name": "hybrid_orchestrator", **listed(owner_api)["hybrid_orchestrator"]}
    assert (as_json(answer)["enabled"], as_json(answer)["source"]) == (False, "override")
    others = listed(client_of(stranger, Role.OWNER))["hybrid_orchestrator"]
    assert (others["enabled"], others["source"]) == (True, "rollout")


def test_what_is_given_up_follows_the_rollout_again(owner_api: APIClient) -> None:
    switch(owner_api, False)

    answer = as_json(switch(owner_api, None))

    assert (answer["enabled"], answer["source"]) == (True, "rollout")


def test_setting_it_twice_leaves_one_override(owner_api: APIClient) -> None:
    switch(owner_api, False)
    switch(owner_api, True)

    with system_transaction():
        assert [row.enabled for row in FlagOverride.objects.all()] == [True]


def test_a_repeated_key_gets_the_first_answer(owner_api: APIClient) -> None:
    first = switch(owner_api, False, **{"Idempotency-Key": "once"})
    switch(owner_api, True)

    again = switch(owner_api, False, **{"Idempotency-Key": "once"})

    assert as_json(again) == as_json(first)
    assert listed(owner_api)["hybrid_orchestrator"]["enabled"] is True


@pytest.mark.parametrize("role", [Role.MANAGER, Role.CREATOR, Role.ANALYST])
def test_nobody_but_an_owner_sees_or_sets_them(agency: Tenant, role: Role) -> None:
    api = client_of(agency, role)

    assert api.get(URL).status_code == 403
    assert switch(api, False).status_code == 403
    with system_transaction():
        assert not FlagOverride.objects.exists()


def test_nobody_sees_them_without_a_key(client: Any) -> None:
    assert client.get(URL).status_code == 401
    assert client.post(URL, {"name": "hybrid_orchestrator", "enabled": False}).status_code == 401


def test_a_flag_that_does_not_exist_is_not_found(owner_api: APIClient) -> None:
    answer = switch(owner_api, True, name="missing")

    assert answer.status_code == 404
    assert as_json(answer)["error"]["code"] == "unknown_flag"


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "name"), ({"name": "hybrid_orchestrator"}, "enabled"), ({"name": "a b", "enabled": True}, "name")],
)
def test_a_body_that_cannot_be_right_says_where(owner_api: APIClient, body: Any, field: str) -> None:
    answer = owner_api.post(URL, body)

    assert answer.status_code == 400
    assert field in as_json(answer)["error"]["fields"]


def test_a_lists_statements_do_not_grow_with_the_flags(owner_api: APIClient, agency: Tenant) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert owner_api.get(URL).status_code == 200
        return len(captured)

    statements()  # the first use of a key is noted
    before = statements()
    with system_transaction():
        for number in range(5):
            flag = Flag.objects.create(name=f"flag-{number}")
            FlagOverride.objects.create(flag=flag, tenant_id=agency.pk, enabled=True)
    assert statements() == before
