"""The money for a call is held while its request is made, and nothing goes out before."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.ai import crowd
from apps.ai.models import GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion
from apps.ai.services import budget_left
from apps.ai.services.rows import Ending
from apps.costs.models import Hold
from apps.costs.pricing import Usage
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.ai.asking import answer, calls_of, caption
from tests.ai.stand_ins import standing_in
from tests.conftest import Sandbox
from tests.costs.spending import counters
from tests.costs.threads import a_lock_is_waited_for
from tests.pools import pool_is_whole
from tests.tracing import keep_spans
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


def calls_begun(tenant: Tenant) -> int:
    with tenant_transaction(tenant):
        return Hold.objects.count()


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


def test_a_client_that_cannot_be_made_costs_nothing_either(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ImportError("no support for such a proxy")

    budget(agency)
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", fail)

    with pytest.raises(ImportError):
        answer(caption(agency))

    assert counters(agency) == [(Decimal(0), Decimal(0))]


def test_whoever_waits_for_a_place_again_holds_no_connection(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client fails before it asks for leave, while others want all the places."""
    taken = [Event() for _ in range(crowd.PLACES)]
    enough = Event()

    def fail(*_: Any, **__: Any) -> Any:
        taken[0].wait(20)
        raise ImportError("no support for such a proxy")

    def ask() -> None:
        with crowd.place():
            try:
                answer(caption(agency))
            finally:
                connection.close()

    def take(number: int) -> None:
        with crowd.place():
            taken[number].set()
            enough.wait(20)

    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", fail)
    with ThreadPoolExecutor(1 + crowd.PLACES) as pool:
        asking = pool.submit(ask)
        wait_until(lambda: calls_begun(agency) == 1, seconds=20, what="the hold", every=0.02)
        for number in range(crowd.PLACES):
            pool.submit(take, number)
        try:
            with pytest.raises(ImportError):
                asking.result(20)
        finally:
            enough.set()


def test_what_is_left_of_a_budget_is_known_while_the_call_lasts(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Decimal | None] = []

    def note(*_: Any, **__: Any) -> Completion:
        seen.append(budget_left.of(agency.pk))
        return Completion(text="Hello", usage=Usage(3, 2), model="m", finish_reason="stop")

    budget(agency)
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", standing_in(note))

    answer(caption(agency))

    assert [left is not None and left > Decimal("0.9") for left in seen] == [True]


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
