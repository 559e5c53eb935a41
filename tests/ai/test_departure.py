"""The money for a call is held while its request is made, and nothing goes out before."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.ai.models import GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion
from apps.ai.services.rows import Ending
from apps.costs.pricing import Usage
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.ai.asking import answer, calls_of, caption
from tests.conftest import Sandbox
from tests.costs.spending import counters
from tests.costs.threads import a_lock_is_waited_for
from tests.tenants.test_pool import pool_is_whole
from tests.tracing import keep_spans
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


def budget(tenant: Tenant, limit: Decimal = Decimal(100)) -> None:
    create_budget(tenant_id=tenant.pk, limit=limit, now=timezone.now())


def test_nothing_goes_out_before_the_money_is_held(agency: Tenant, ai_sandbox: Sandbox) -> None:
    budget(agency)
    answer(caption(agency, "Something that opens the period."))
    before = calls_of(ai_sandbox)

    def ask() -> Ending:
        try:
            return answer(caption(agency))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with tenant_transaction(agency), connection.cursor() as cursor:
            cursor.execute("SELECT FROM costs_budgetcounter FOR UPDATE")
            asking = pool.submit(ask)
            wait_until(a_lock_is_waited_for, seconds=20, what="the hold to wait for the counter", every=0.02)
            assert calls_of(ai_sandbox) == before
        assert asking.result(20).state == GenerationState.SUCCEEDED

    assert calls_of(ai_sandbox) == before + 1


def test_what_is_refused_money_is_no_call(
    agency: Tenant, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget(agency, limit=Decimal("0.000001"))
    spans, before = keep_spans(monkeypatch), calls_of(ai_sandbox)

    ending = answer(caption(agency))

    assert (ending.state, ending.error_code, ending.attempts) == (
        GenerationState.FAILED,
        "budget_exhausted",
        0,
    )
    assert calls_of(ai_sandbox) == before
    assert spans.names == ["generation caption"]


def test_a_request_that_cannot_be_made_costs_nothing(
    agency: Tenant, ai_sandbox: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key can't be put into a header; both clients find that out before they would send anything."""
    budget(agency)
    settings.OPENAI_API_KEY = settings.AZURE_OPENAI_API_KEY = "schlüssel"
    spans, before = keep_spans(monkeypatch), calls_of(ai_sandbox)

    ending = answer(caption(agency))

    assert ending.state == GenerationState.FAILED
    assert ending.attempts > 0
    assert calls_of(ai_sandbox) == before
    assert counters(agency) == [(Decimal(0), Decimal(0))]
    assert spans.names == ["generation caption"]


@pytest.mark.parametrize("death", [MemoryError, SystemExit])
def test_who_dies_before_it_has_leave_keeps_no_connection(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch, death: type[BaseException]
) -> None:
    def die(*_: Any, **__: Any) -> Any:
        raise death

    answer(caption(agency, "Something that opens connections."))
    connection.close()
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", die)

    with pytest.raises(death):
        answer(caption(agency))

    connection.close()
    wait_until(pool_is_whole, seconds=20, what="the connections to be back")


def test_a_provider_that_asks_for_no_leave_is_a_mistake_of_ours(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Completion(text="Hello", usage=Usage(3, 2), model="m", finish_reason="stop")
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", lambda *_, **__: said)

    with pytest.raises(RuntimeError, match="without leave"):
        answer(caption(agency))
