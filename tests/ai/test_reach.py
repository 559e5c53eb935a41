"""Whoever is refused takes no attempt, so that those who come later are reached, however many there are."""

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.deadlines import CRITICAL, OPTIONAL
from apps.ai.models import Deployment, GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.services.rows import Ending
from apps.costs.models import BudgetScope
from apps.costs.services.budgets import create_budget
from apps.tenants.models import Tenant
from tests import factories
from tests.ai import breakers
from tests.ai.asking import answer, caption
from tests.conftest import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


@pytest.fixture
def more(deployments: None) -> list[Deployment]:
    """Beside one of each provider: OpenAI's come first for a caption, and Azure's last."""
    return [factories.deployment(name=f"openai {number}", weight=1) for number in (2, 3, 4, 5)]


def outcomes(ending: Ending) -> list[tuple[object, object]]:
    return [(each["deployment"], each["outcome"]) for each in ending.explain if "attempt" in each]


def test_a_budget_for_one_provider_is_no_reason_to_give_up(agency: Tenant, more: list[Deployment]) -> None:
    create_budget(
        tenant_id=agency.pk,
        limit=Decimal("0.00001"),
        now=timezone.now(),
        scope=BudgetScope.PROVIDER,
        provider="openai",
    )

    ending = answer(caption(agency), deadlines=OPTIONAL)

    *refused, last = outcomes(ending)
    assert {outcome for _, outcome in refused} == {"budget_exhausted"}
    assert last == ("azure", "answered")
    assert ending.attempts == 1


def test_breakers_that_have_opened_meanwhile_take_no_attempt_from_who_comes_later(
    agency: Tenant, more: list[Deployment], monkeypatch: pytest.MonkeyPatch, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"500": 1}}])
    complete = PROVIDERS["openai"].complete

    def call(body: Any, *, timeout: Any) -> Any:
        for each in more:
            breakers.fail(each)
        return complete(body, timeout=timeout)

    monkeypatch.setattr(PROVIDERS["openai"], "complete", call)

    ending = answer(caption(agency), deadlines=OPTIONAL)

    assert ending.state == GenerationState.SUCCEEDED
    assert outcomes(ending)[-1] == ("azure", "answered")
    assert ending.attempts == 2


def test_who_fails_by_itself_takes_its_attempt(
    agency: Tenant, more: list[Deployment], ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"500": 1}}])

    ending = answer(caption(agency), deadlines=CRITICAL)

    assert ending.state == GenerationState.FAILED
    assert ending.attempts == 1 + CRITICAL.retries
    assert len(set(outcomes(ending))) == 1 + CRITICAL.retries
