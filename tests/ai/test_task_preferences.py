"""What a tenant has set for one kind of task: who is asked first, and for how long answers are kept."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import Deployment, Source, TaskKind, TaskPreference
from apps.ai.routing import Policy, Wish, route
from apps.ai.services import configuration
from apps.ai.services.preferences import TaskWish, read_task_preferences
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.ai.asking import answer, caption
from tests.ai.optimising import deployment
from tests.ai.test_routing import ALL, AZURE, OPENAI, charging

pytestmark = pytest.mark.django_db(transaction=True)


def prefer(tenant: Tenant, task_kind: str = "caption", **fields: Any) -> None:
    with system_transaction():
        TaskPreference.objects.create(tenant_id=tenant.pk, task_kind=task_kind, **fields)


def first_of(**wish: Any) -> tuple[str, str]:
    """Who comes first for a caption, and why; embeddings are the dearest."""
    found = route(
        task_kind="caption",
        deployments=ALL,
        exclusions={},
        rng=random.Random(1),  # noqa: S311
        costs=charging({each.id: 1 if each is OPENAI else 2 for each in ALL}),
        wish=Wish(**wish),
    )
    return found.candidates[0].name, str(found.explain[0]["reason"])


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("priority", [0, 1, 2])
def test_the_preferred_deployment_comes_first_whatever_else_the_tenant_prefers(
    policy: Policy, priority: int
) -> None:
    name, why = first_of(first=AZURE.id, policy=policy, priority=priority)
    assert name == "azure"
    assert why.endswith("the tenant prefers it for caption")


def test_a_budget_that_is_nearly_spent_comes_before_it() -> None:
    assert first_of(first=AZURE.id, budget_left=Decimal("0.05"))[0] == "openai"
    assert first_of(first=AZURE.id, budget_left=Decimal("0.05"), priority=0)[0] == "azure"
    assert first_of(first=AZURE.id, budget_left=Decimal("0.01"), priority=0)[0] == "openai"


def test_the_others_follow_in_their_usual_order_and_one_that_is_gone_changes_nothing() -> None:
    usual = route(task_kind="caption", deployments=ALL, exclusions={}, rng=random.Random(1))  # noqa: S311
    rest = [each for each in usual.candidates if each is not AZURE]

    def with_first(excluded: bool) -> list[Any]:
        found = route(
            task_kind="caption",
            deployments=ALL,
            exclusions={AZURE.id: "disabled"} if excluded else {},
            rng=random.Random(1),  # noqa: S311
            wish=Wish(first=AZURE.id),
        )
        return list(found.candidates)

    assert with_first(excluded=False)[0] is AZURE
    assert [each.model_class for each in with_first(excluded=False)[1:]] == [
        each.model_class for each in rest
    ]
    assert with_first(excluded=True) == rest


@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("wish", [{"policy": Policy.CHEAPEST}, {"policy": Policy.QUALITY}, {"priority": 2}])
def test_after_it_the_tenants_general_preference_holds(wish: dict[str, Any], excluded: bool) -> None:
    def order(**more: Any) -> list[Any]:
        found = route(
            task_kind="caption",
            deployments=ALL,
            exclusions={OPENAI.id: "disabled"} if excluded else {},
            rng=random.Random(1),  # noqa: S311
            costs=charging({each.id: number for number, each in enumerate(reversed(ALL), start=1)}),
            wish=Wish(**wish, **more),
        )
        return [each for each in found.candidates if each is not OPENAI]

    assert order(first=OPENAI.id) == order()


@pytest.mark.usefixtures("deployments")
def test_a_tenants_questions_of_that_kind_go_there_and_no_others(agency: Tenant, stranger: Tenant) -> None:
    prefer(agency, deployment=deployment("azure"))

    assert answer(caption(agency)).deployment_id == deployment("azure").pk
    assert answer(caption(stranger)).deployment_id == deployment("openai").pk


@pytest.mark.usefixtures("deployments")
def test_an_answer_of_who_was_preferred_before_is_not_given_any_more(agency: Tenant) -> None:
    answer(caption(agency))
    prefer(agency, deployment=deployment("azure"))

    changed = answer(caption(agency))
    repeated = answer(caption(agency))

    assert (changed.source, repeated.source) == (Source.PROVIDER, Source.CACHE)
    assert changed.deployment_id == repeated.deployment_id == deployment("azure").pk


@pytest.mark.usefixtures("deployments")
def test_answers_are_kept_for_as_long_as_the_tenant_has_set(agency: Tenant, stranger: Tenant) -> None:
    prefer(agency, fresh=timedelta(), stale=timedelta())
    prefer(stranger, "idea", fresh=timedelta(), stale=timedelta())

    asked = [answer(caption(tenant)) for tenant in (agency, agency, stranger, stranger)]

    assert [each.source for each in asked] == ["provider", "provider", "provider", "cache"]


def test_what_is_set_for_one_kind_leaves_the_others_and_other_tenants_alone(
    agency: Tenant, stranger: Tenant
) -> None:
    hour = timedelta(hours=1)
    prefer(agency, fresh=hour, stale=hour)

    found = configuration.current()

    assert found.ttl(agency.pk, "caption") == Ttl(hour, hour)
    assert found.ttl(agency.pk, "idea") == TTLS["idea"]
    assert found.ttl(stranger.pk, "caption") == TTLS["caption"]
    assert found.first(agency.pk, "caption") is None


def test_a_tenant_sees_no_rows_but_its_own(agency: Tenant, stranger: Tenant) -> None:
    prefer(agency, deployment=factories.deployment())
    with tenant_transaction(stranger):
        assert read_task_preferences() == {}
        assert TaskPreference.objects.update(task_kind="idea") == 0


def test_a_deployment_that_is_deleted_is_preferred_no_longer(agency: Tenant) -> None:
    row = factories.deployment()
    prefer(agency, deployment=row)
    with system_transaction():
        Deployment.objects.filter(pk=row.pk).delete()
        assert read_task_preferences() == {(agency.pk, "caption"): TaskWish()}


@pytest.mark.parametrize(
    ("fresh", "stale"), [(2, 1), (-1, 1), (None, 1), (1, None)], ids=["after", "negative", "one", "other"]
)
def test_times_that_contradict_each_other_are_refused(
    agency: Tenant, fresh: int | None, stale: int | None
) -> None:
    times: dict[str, Any] = {
        name: None if value is None else timedelta(seconds=value)
        for name, value in (("fresh", fresh), ("stale", stale))
    }
    with pytest.raises(IntegrityError), transaction.atomic():
        prefer(agency, **times)


def test_an_operator_sets_it_by_hand_but_for_replays(client: Client, agency: Tenant) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    add = reverse("admin:ai_taskpreference_add")
    given = {"tenant": str(agency.pk), "fresh": "01:00:00", "stale": "02:00:00"}

    refused = client.post(add, {**given, "task_kind": TaskKind.REPLAY})
    client.post(add, {**given, "task_kind": "caption"})
    twice = client.post(add, {**given, "task_kind": "caption"})

    assert b"A replay has its deployment" in refused.content
    assert b"This tenant has a row for this kind" in twice.content
    with system_transaction():
        assert read_task_preferences() == {
            (agency.pk, "caption"): TaskWish(None, Ttl(timedelta(hours=1), timedelta(hours=2)))
        }
