"""Who waits for another's answer depends on the answer alone, not on the other's deadline or failures."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.ai.deadlines import CRITICAL, OPTIONAL, Deadlines
from apps.ai.models import GenerationState, PromptTemplate, Source
from apps.ai.providers import PROVIDERS
from apps.ai.services.generations import answer_question
from apps.ai.services.questions import Question
from apps.ai.services.rows import Ending
from apps.costs.models import BudgetCounter, Hold
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import caption, read
from tests.ai.held import Flight, HeldProvider, held_provider
from tests.ai.question_process import PATIENT
from tests.costs.threads import a_lock_is_waited_for
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments", "fallback")]

OWN_WORDS = "Soon: A lake at dusk."
Ask = Callable[..., "Future[Ending]"]


@pytest.fixture
def fallback() -> Iterator[None]:
    with system_transaction():
        PromptTemplate.objects.filter(key="assistant_caption").update(fallback="Soon: {{ input }}")
    yield
    with system_transaction():
        PromptTemplate.objects.filter(key="assistant_caption").update(fallback="")


@pytest.fixture
def provider(ai_sandbox: object, settings: Any) -> Iterator[HeldProvider]:
    with held_provider() as provider:
        for name, value in provider.environment.items():
            setattr(settings, name, value)
        yield provider


@pytest.fixture
def ask(provider: HeldProvider) -> Iterator[Ask]:
    """Ask on a thread of its own."""

    def run(question: Question, deadlines: Deadlines, clock: Callable[[], datetime]) -> Ending:
        try:
            ending = answer_question(question=question, clock=clock, deadlines=deadlines)
        finally:
            connection.close()
        assert ending is not None
        return ending

    with ThreadPoolExecutor() as pool:

        def ask(
            question: Question, deadlines: Deadlines, clock: Callable[[], datetime] = timezone.now
        ) -> "Future[Ending]":
            return pool.submit(run, question, deadlines, clock)

        yield ask
        provider.go_on()


@pytest.fixture
def timeouts(monkeypatch: pytest.MonkeyPatch) -> list[timedelta]:
    """How long each call might take."""
    seen: list[timedelta] = []
    for provider in PROVIDERS.values():
        complete = provider.complete

        def note(body: Any, *, timeout: timedelta, complete: Any = complete) -> Any:
            seen.append(timeout)
            return complete(body, timeout=timeout)

        monkeypatch.setattr(provider, "complete", note)
    return seen


def attempts_of(tenant: Tenant, question: Question) -> int:
    with tenant_transaction(tenant):
        return Hold.objects.filter(generation_id=question.id).count()


def test_who_cannot_wait_as_long_as_the_leader_takes_what_there_is(
    agency: Tenant, provider: HeldProvider, ask: Ask
) -> None:
    provider.hold()
    leader = ask(caption(agency), PATIENT)
    flight = Flight(agency.pk)
    flight.wait_for_leader()
    hasty_question = caption(agency)
    hasty, patient = ask(hasty_question, OPTIONAL), ask(caption(agency), PATIENT)
    flight.wait_for_waiters(2)

    ending = hasty.result(60)

    assert (ending.source, ending.text) == (Source.TEMPLATE, OWN_WORDS)
    assert read(agency, hasty_question.id).state == GenerationState.SUCCEEDED
    assert attempts_of(agency, hasty_question) == 0
    assert not leader.done()
    provider.go_on()
    assert {each.result(60).source for each in (leader, patient)} == {Source.PROVIDER}
    assert patient.result().text == leader.result().text
    assert provider.calls == 1


def test_a_person_does_not_wait_for_a_leader_who_may_take_longer(
    agency: Tenant, provider: HeldProvider, ask: Ask
) -> None:
    provider.hold()
    slow_question, waiting_question, urgent_question = (caption(agency) for _ in range(3))
    slow = ask(slow_question, PATIENT)
    flight = Flight(agency.pk)
    token = flight.wait_for_leader()
    waiting = ask(waiting_question, PATIENT)
    flight.wait_for_waiters(1)

    urgent = ask(urgent_question, CRITICAL)
    flight.wait_for_leader(unlike=token)
    also_urgent = ask(caption(agency), CRITICAL)
    flight.wait_for_waiters(2)
    provider.go_on()

    endings = [each.result(60) for each in (slow, waiting, urgent, also_urgent)]
    assert {each.source for each in endings} == {Source.PROVIDER}
    assert [each.joined_id for each in endings] == [None, urgent_question.id, None, urgent_question.id]
    assert attempts_of(agency, waiting_question) == 0
    assert provider.calls == 2


def test_a_leader_whose_deadline_ends_leaves_its_place_to_one_who_has_time(
    agency: Tenant, provider: HeldProvider, ask: Ask
) -> None:
    provider.hold()
    hasty = ask(caption(agency), OPTIONAL)
    flight = Flight(agency.pk)
    token = flight.wait_for_leader()
    questions = [caption(agency) for _ in range(2)]
    patient = [ask(each, PATIENT) for each in questions]
    assert hasty.result(60).source == Source.TEMPLATE
    flight.wait_for_leader(unlike=token)
    provider.go_on()

    assert {each.result(60).source for each in patient} == {Source.PROVIDER}
    assert sorted(attempts_of(agency, each) for each in questions) == [0, 1]


@pytest.mark.parametrize(("left", "given"), [(2.0, 2.0), (0.1, None)])
def test_who_takes_over_has_what_is_left_of_its_own_time(
    agency: Tenant,
    provider: HeldProvider,
    ask: Ask,
    timeouts: list[timedelta],
    left: float,
    given: float | None,
) -> None:
    """All of it for one deployment, where it isn't enough for two; and none, where it is of no use."""
    provider.hold()
    hasty = ask(caption(agency), replace(OPTIONAL, retries=0))
    flight = Flight(agency.pk)
    flight.wait_for_leader()
    clock = [timezone.now()]
    late = ask(caption(agency), CRITICAL, lambda: clock[0])
    flight.wait_for_waiters(1)
    clock[0] += CRITICAL.total - timedelta(seconds=left)
    assert hasty.result(60).source == Source.TEMPLATE
    provider.go_on()

    ending = late.result(60)

    longest = max(timeouts)
    if given is None:
        assert (ending.state, ending.error_code, ending.attempts) == (GenerationState.FAILED, "timeout", 0)
        assert longest <= OPTIONAL.attempt
    else:
        assert ending.source == Source.PROVIDER
        assert longest == timedelta(seconds=given)
        assert min(timeouts) > timedelta(seconds=0.1), "somebody was asked without time to answer"


def test_an_answer_is_handed_on_while_it_is_paid(
    agency: Tenant, provider: HeldProvider, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """The counter that its cost goes to is locked: whoever asks the same needn't wait for that."""
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())
    provider.hold()
    question = caption(agency)
    leader = ask(question, PATIENT)
    wait_until(lambda: attempts_of(agency, question) == 1, seconds=20, what="the hold", every=0.02)
    joiner = ask(caption(agency), PATIENT)
    Flight(agency.pk).wait_for_waiters(1)
    with tenant_transaction(agency):
        list(BudgetCounter.objects.select_for_update())
        provider.go_on()
        joined = joiner.result(20)
        wait_until(a_lock_is_waited_for, seconds=20, what="the end to wait for the counter", every=0.02)
        assert "hold.settling_again" not in caplog.text, "not when it was given up for the first time"

    assert joined.text == leader.result(20).text
    assert leader.result().attempts == 1


def test_whoever_joined_is_told_while_there_is_no_connection_to_pay(
    agency: Tenant, provider: HeldProvider, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.hold()
    question = caption(agency)
    leader = ask(question, PATIENT)
    wait_until(lambda: attempts_of(agency, question) == 1, seconds=20, what="the hold", every=0.02)
    flight = Flight(agency.pk)
    connection.close()
    pool = connection.pool  # type: ignore[attr-defined]  # Django's, of psycopg
    monkeypatch.setattr(pool, "timeout", 60)
    with ExitStack() as all_taken:
        for _ in range(pool.max_size):
            all_taken.enter_context(pool.connection())
        provider.go_on()
        wait_until(lambda: flight.leader is None, seconds=20, what="the flight's end", every=0.02)

    assert leader.result(20).attempts == 1
