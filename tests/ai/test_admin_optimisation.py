"""Recommendations and replays in the admin."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.ai.models import Analysis, Deployment, Recommendation, Status, TaskPreference
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tasks.ai import run_analysis as analysis_task
from tasks.ai import run_generation as generation_task
from tests import factories
from tests.ai.optimising import again, longer, many, recommendation, replay_of, work_off

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

LIST = "admin:ai_recommendation_changelist"


@pytest.fixture
def operator(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    for task in (analysis_task, generation_task):
        monkeypatch.setattr(task, "delay", lambda **_: None)
    client.force_login(factories.user(email="ada@example.com", is_staff=True, is_superuser=True))
    return client


def page(row: Recommendation) -> str:
    return reverse("admin:ai_recommendation_change", args=[row.pk])


def press(client: Client, button: str, row: Recommendation) -> Any:
    """The button on the row's page, confirmed."""
    return client.post(f"{reverse('admin:ai_recommendation_changelist')}{row.pk}/{button}/", {})


def said(client: Client, row: Recommendation) -> str:
    return client.get(page(row)).content.decode()


def test_an_operator_verifies_applies_and_reverts_it(operator: Client, agency: Tenant) -> None:
    many(8, agency)
    row = recommendation(agency)
    operator.post(reverse(LIST), {"action": "verify", "_selected_action": [str(row.pk)]})
    assert again(row).status == Status.VERIFYING
    work_off()
    with system_transaction():
        Recommendation.objects.filter(pk=row.pk).update(status=Status.VERIFIED)

    operator.post(reverse(LIST), {"action": "apply", "_selected_action": [str(row.pk)]})
    applied = again(row)
    operator.post(reverse(LIST), {"action": "revert", "_selected_action": [str(row.pk)]})

    assert (applied.status, applied.applied_by) == (Status.APPLIED, "ada@example.com")
    assert again(row).status == Status.REVERTED
    with system_transaction():
        assert not TaskPreference.objects.exists()
    replay = operator.get(reverse("admin:ai_replay_change", args=[replay_of(row).pk])).content.decode()
    assert "0.70" in replay
    assert replay_of(row).items.all()[0].original_id.hex[:8] in replay


def test_a_change_names_the_deployment(operator: Client, agency: Tenant) -> None:
    row = recommendation(agency)
    with system_transaction():
        name = Deployment.objects.get(pk=row.change["deployment"]).name  # type: ignore[index]  # it has one
    shown = said(operator, row)
    assert f"&quot;deployment&quot;: &quot;{name}&quot;" in shown
    assert row.change["deployment"] not in shown  # type: ignore[index]  # as above


def test_what_a_service_refuses_is_said(operator: Client, agency: Tenant) -> None:
    row = recommendation(agency)
    answer = operator.post(reverse(LIST), {"action": "apply", "_selected_action": [str(row.pk)]}, follow=True)
    assert "verify it first" in answer.content.decode()
    assert again(row).status == Status.OPEN


def test_only_the_buttons_that_fit_are_there(operator: Client, agency: Tenant) -> None:
    rows = {
        "model": recommendation(agency),
        "time": longer(agency),
        "advice": recommendation(agency, subject="x", kind="long_contexts", change=None),
    }

    def buttons(row: Recommendation) -> set[str]:
        text = said(operator, row)
        return {name for name in ("verify", "apply", "revert", "dismiss") if f"/{row.pk}/{name}/" in text}

    assert buttons(rows["model"]) == {"verify", "dismiss"}
    assert buttons(rows["time"]) == {"apply", "dismiss"}
    assert buttons(rows["advice"]) == {"dismiss"}


def test_a_dismissed_one_and_an_analysis_on_demand(operator: Client, agency: Tenant) -> None:
    row = longer(agency)
    for action in ("analyse", "dismiss"):
        operator.post(reverse(LIST), {"action": action, "_selected_action": [str(row.pk)]})
    assert again(row).status == Status.DISMISSED
    with system_transaction():
        assert [each.requested_by for each in Analysis.objects.all()] == ["ada@example.com"]


def test_staff_without_the_right_do_nothing(client: Client, agency: Tenant) -> None:
    row = longer(agency)
    client.force_login(factories.user(is_staff=True))
    client.post(reverse(LIST), {"action": "apply", "_selected_action": [str(row.pk)]})
    assert press(client, "apply", row).status_code in {302, 403}
    assert again(row).status == Status.OPEN
