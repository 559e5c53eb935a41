"""The money for a call is held while its request is made, and nothing goes out before."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.ai import crowd
from apps.ai.models import GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, Message
from apps.ai.routing import Candidate
from apps.ai.services import budget_left, deployments
from apps.ai.services.calls import Caller
from apps.ai.services.rows import Ending
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
    asked, enough = Event(), Event()

    def fail(*_: Any, **__: Any) -> Any:
        asked.set()
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
        assert asked.wait(20)
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
@pytest.mark.usefixtures("own_pool")
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


def candidate() -> Candidate:
    [found, *_] = deployments.candidates()[0]
    return found


def call(caller: Caller, *, timeout: timedelta, leave: Callable[[], object]) -> Outcome:
    asked = candidate()
    body = ChatRequest((Message("user", "Hello"),), max_tokens=20).body(model=asked.model, named=asked.called)
    return caller.call(asked, body, timeout=timeout, silence=timeout, number=1, leave=leave)


def test_money_that_comes_too_late_is_not_spent(agency: Tenant, ai_sandbox: Sandbox) -> None:
    caller, before = Caller(caption(agency)), calls_of(ai_sandbox)
    asked: list[bool] = []

    def leave() -> None:
        asked.append(Event().wait(0.02))

    outcome = call(caller, timeout=timedelta(milliseconds=10), leave=leave)

    assert asked
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.maybe_billed, caller.times) == (FailureKind.TIMEOUT, False, None)
    assert calls_of(ai_sandbox) == before


def test_what_a_call_took_is_no_more_than_until_its_answer_came(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Afterwards it waits for a place, which isn't the provider's time."""
    caller, enough = Caller(caption(agency)), Event()
    taken = [Event() for _ in range(crowd.PLACES)]

    def say(*_: Any, **__: Any) -> Completion:
        for each in taken:
            each.wait(20)
        return Completion(text="Hello", usage=Usage(3, 2), model="m", finish_reason="stop")

    def take(number: int) -> None:
        with crowd.place():
            taken[number].set()
            enough.wait(20)

    def ask() -> None:
        with crowd.place():
            try:
                call(caller, timeout=timedelta(seconds=20), leave=lambda: None)
            finally:
                connection.close()

    def has_ended() -> bool:
        return caller.times is not None and caller.times.ended > caller.times.began

    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", standing_in(say))
    with ThreadPoolExecutor(1 + crowd.PLACES) as pool:
        asking = pool.submit(ask)
        for number in range(crowd.PLACES):
            pool.submit(take, number)
        wait_until(has_ended, seconds=20, what="the answer", every=0.01)
        assert not asking.done()
        enough.set()
        asking.result(20)

    assert caller.times is not None
    assert caller.seconds == caller.times.ended - caller.times.began
