"""The rows of generations: asking, claiming, finishing, and what is left when a process dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from apps.ai.models import Generation, GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind
from apps.ai.providers.requests import ChatRequest
from apps.ai.services.generations import (
    ATTEMPTS_AT_MOST,
    Run,
    request_generation,
    run_generation,
    waiting_generations,
)
from apps.ai.services.prompts import UnknownPromptError, render_request
from apps.common.ids import uuid7
from apps.common.liquid import TemplateError
from apps.common.priority import Priority
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.costs.pricing import Usage
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tasks.ai import run_generation as run_task
from tasks.ai import sweep_generations
from tasks.costs import settle_abandoned_holds
from tests.ai.asking import VARIABLES, ask, read
from tests.ai.stand_ins import standing_in
from tests.conftest import Sandbox
from tests.costs.threads import at_once
from tests.http_client import http
from tests.services import ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline, "it didn't happen in time"
        sleep(0.02)


def held(tenant: Tenant) -> int:
    with tenant_transaction(tenant):
        return Hold.objects.filter(state=HoldState.HELD).count()


@pytest.mark.parametrize(
    ("prompt", "deployment"),
    [("campaign_plan", "azure"), ("campaign_template", "openai"), ("fan_message", "openai")],
)
def test_a_generation_is_answered_by_the_preferred_provider_and_paid_for(
    agency: Tenant, prompt: str, deployment: str
) -> None:
    asked = ask(agency, prompt)

    run_generation(generation_id=asked.pk, clock=timezone.now)

    done = read(agency, asked.pk)
    assert (done.state, done.error) == (GenerationState.SUCCEEDED, "")
    assert done.deployment is not None
    assert done.deployment.name == deployment
    with tenant_transaction(agency):
        entry = LedgerEntry.objects.get()
        hold = Hold.objects.get()
    assert hold.state == HoldState.SETTLED
    assert (entry.occurred_at, entry.estimated) == (done.created_at, False)
    assert entry.amount == done.cost
    assert Decimal(0) < entry.amount < hold.bound
    assert done.input_tokens == entry.input_tokens > 0
    assert done.attempts == 1


def test_what_a_generation_is_for_is_entered_in_the_ledger(agency: Tenant) -> None:
    ids: dict[str, Any] = {"account_id": uuid7(), "campaign_id": uuid7(), "user_id": uuid7()}
    asked = ask(agency, priority=Priority.HIGH, **ids)

    run_generation(generation_id=asked.pk, clock=timezone.now)

    with tenant_transaction(agency):
        entry = LedgerEntry.objects.values(*ids, "generation_id", "task_kind").get()
    assert entry == {**ids, "generation_id": asked.pk, "task_kind": "message"}


def test_an_answer_that_no_database_could_keep_is_kept_without_what_is_wrong(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = Completion(text="Hel\0lo \ud83d", usage=Usage(3, 2), model="m", finish_reason="stop")
    monkeypatch.setattr(PROVIDERS["openai"], "complete", standing_in(lambda *_, **__: spoilt))
    asked = ask(agency)

    run_generation(generation_id=asked.pk, clock=timezone.now)

    done = read(agency, asked.pk)
    assert (done.state, done.text) == (GenerationState.SUCCEEDED, "Hello ?")


def test_a_providers_words_for_a_failure_are_kept_without_what_is_wrong(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Failure(FailureKind.BAD_REQUEST, "No\0 \ud83d")
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", standing_in(lambda *_, **__: refused))
    asked = ask(agency)

    run_generation(generation_id=asked.pk, clock=timezone.now)

    done = read(agency, asked.pk)
    assert done.state == GenerationState.FAILED
    assert "No ?" in [each["message"] for each in done.explain if "attempt" in each]


def test_a_question_that_kills_whoever_works_on_it_is_given_up(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise MemoryError

    calls: list[int] = []
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", standing_in(fail))
    asked, now = ask(agency), timezone.now()

    for times in range(30):
        with suppress(MemoryError):
            run_generation(generation_id=asked.pk, clock=lambda: now + timedelta(minutes=5 * times))  # noqa: B023

    done = read(agency, asked.pk)
    assert (done.state, done.error_code) == (GenerationState.FAILED, "abandoned")
    assert len(calls) == done.attempts == ATTEMPTS_AT_MOST
    assert held(agency) == 0


def test_an_unknown_prompt_and_missing_variables_are_refused_at_once(agency: Tenant) -> None:
    with pytest.raises(UnknownPromptError, match="no-such"), tenant_transaction(agency):
        request_generation(tenant_id=agency.pk, prompt_key="no-such", variables={})
    with pytest.raises(TemplateError, match="account"), tenant_transaction(agency):
        request_generation(tenant_id=agency.pk, prompt_key="campaign_template", variables={})


def test_a_brief_can_not_bring_in_liquid_of_its_own(agency: Tenant) -> None:
    brief = "{% for i in (1..1000) %}{{ account.name }}{% endfor %}"
    variables = {"campaign": {**VARIABLES["campaign_plan"]["campaign"], "brief": brief}}
    asked = ask(agency, "campaign_plan", variables=variables)

    request = render_request(prompt=asked.prompt, variables=variables, max_tokens=10)

    assert isinstance(request, ChatRequest)
    assert brief in request.messages[-1].content


def test_another_tenant_does_not_see_it(agency: Tenant, stranger: Tenant) -> None:
    asked = ask(agency)

    with tenant_transaction(stranger):
        assert not Generation.objects.filter(pk=asked.pk).exists()


def test_a_finished_generation_is_not_run_again(agency: Tenant) -> None:
    asked = ask(agency)
    run_generation(generation_id=asked.pk, clock=timezone.now)

    assert run_generation(generation_id=asked.pk, clock=timezone.now) is None
    assert run_generation(generation_id=uuid7(), clock=timezone.now) is None

    with tenant_transaction(agency):
        assert LedgerEntry.objects.count() == 1


def test_a_task_that_is_delivered_many_times_at_once_is_run_once(agency: Tenant) -> None:
    asked = ask(agency)

    done = at_once(8, lambda _: run_generation(generation_id=asked.pk, clock=timezone.now))

    assert sum(each is not None for each in done) == 1
    with tenant_transaction(agency):
        assert LedgerEntry.objects.count() == 1


def test_the_sweep_finds_what_nobody_works_on_the_urgent_first(agency: Tenant) -> None:
    now = timezone.now()
    later = now + timedelta(hours=1)
    low, high = ask(agency, priority=Priority.LOW), ask(agency, priority=Priority.HIGH)
    done, taken, abandoned = ask(agency), ask(agency), ask(agency)
    run_generation(generation_id=done.pk, clock=timezone.now)
    with tenant_transaction(agency):
        for row, lease in ((taken, later + timedelta(seconds=1)), (abandoned, later)):
            Generation.objects.filter(pk=row.pk).update(state="running", lease_expires_at=lease)

    assert waiting_generations(now=now) == []  # their own hints are under way
    assert waiting_generations(now=later) == [high.pk, abandoned.pk, low.pk]


def test_a_killed_call_is_settled_by_estimate_and_asked_again(agency: Tenant, ai_sandbox: Sandbox) -> None:
    asked = ask(agency)
    ai_sandbox.faults(rules=[{"hang": 1}])
    seen = requests_of(ai_sandbox)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_IN_A_PROCESS, str(asked.pk)], cwd=ROOT, env=environment(ai_sandbox)
    )
    try:
        wait_until(lambda: requests_of(ai_sandbox) > seen)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    ai_sandbox.faults(rules=[])
    left = read(agency, asked.pk)
    assert left.state == GenerationState.RUNNING
    assert left.lease_expires_at is not None
    after = left.lease_expires_at + timedelta(seconds=1)
    ahead = after - timezone.now()

    assert run_generation(generation_id=asked.pk, clock=timezone.now) is None  # its lease still holds
    assert waiting_generations(now=after) == [asked.pk]
    run_generation(generation_id=asked.pk, clock=lambda: timezone.now() + ahead)

    done = read(agency, asked.pk)
    assert (done.state, done.attempts) == (GenerationState.SUCCEEDED, 2)
    with tenant_transaction(agency):
        entries = list(LedgerEntry.objects.order_by("attempt"))
    assert [(entry.attempt, entry.estimated) for entry in entries] == [(1, True), (2, False)]
    assert done.cost == sum(entry.amount for entry in entries)
    assert held(agency) == 0


RUN_IN_A_PROCESS = """
import sys, uuid
import django
django.setup()
from django.utils import timezone
from apps.ai.services.generations import run_generation
run_generation(generation_id=uuid.UUID(sys.argv[1]), clock=timezone.now)
"""


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "huntaze.settings",
        "OPENAI_BASE_URL": f"{sandbox.url}/openai/v1",
        "OPENAI_API_KEY": "sandbox",
    }


def requests_of(sandbox: Sandbox) -> int:
    """How many requests the provider has seen, answered or not."""
    usage = http.get(f"{sandbox.url}/usage").json()
    return sum(model["requests"] for models in usage.values() for model in models.values())


class Stuck:
    """A provider whose calls answer only when each is let go, by its number."""

    def __init__(self, calls: int) -> None:
        self.complete = PROVIDERS["openai"].complete
        self.waiting = list(range(calls))
        self.called = [Event() for _ in range(calls)]
        self.let_go = [Event() for _ in range(calls)]

    def __call__(self, body: Any, *, timeout: timedelta) -> Any:
        if self.waiting:
            number = self.waiting.pop(0)
            self.called[number].set()
            assert self.let_go[number].wait(20)
        return self.complete(body, timeout=timeout)


def start(generation: Generation, clock: Callable[[], datetime]) -> "Future[Run | None]":
    """Run it on a thread of its own."""
    result: Future[Run | None] = Future()

    def run() -> None:
        try:
            result.set_result(run_generation(generation_id=generation.pk, clock=clock))
        finally:
            connection.close()

    Thread(target=run).start()
    return result


def in_ten_minutes() -> datetime:
    return timezone.now() + timedelta(minutes=10)


def test_an_answer_that_comes_after_another_is_not_taken_but_paid_for(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(agency, fresh=True)  # so that the second doesn't wait for the first one's answer
    stuck = Stuck(1)
    monkeypatch.setattr(PROVIDERS["openai"], "complete", standing_in(stuck))
    late = start(asked, timezone.now)
    assert stuck.called[0].wait(20)

    run_generation(generation_id=asked.pk, clock=in_ten_minutes)
    first = read(agency, asked.pk)
    stuck.let_go[0].set()

    assert late.result(20) is None
    after = read(agency, asked.pk)
    assert first.state == GenerationState.SUCCEEDED
    assert (after.finished_at, after.attempts, after.text) == (first.finished_at, 2, first.text)
    with tenant_transaction(agency):
        entries = [(e.attempt, e.sequence, e.estimated) for e in LedgerEntry.objects.order_by("id")]
        total = sum(entry.amount for entry in LedgerEntry.objects.filter(attempt=1))
        assert total == LedgerEntry.objects.get(attempt=2).amount  # the same question, twice
    # Settled by estimate when it was taken over, and corrected when its usage was known after all.
    assert entries == [(1, 0, True), (2, 0, False), (1, 1, False)]


def test_an_answer_that_comes_too_late_does_not_end_the_claim_of_another(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(agency, fresh=True)  # so that the second doesn't wait for the first one's answer
    stuck = Stuck(2)
    monkeypatch.setattr(PROVIDERS["openai"], "complete", standing_in(stuck))
    late = start(asked, timezone.now)
    assert stuck.called[0].wait(20)
    second = start(asked, in_ten_minutes)
    assert stuck.called[1].wait(20)

    stuck.let_go[0].set()
    assert late.result(20) is None
    between = read(agency, asked.pk)
    stuck.let_go[1].set()

    assert between.state == GenerationState.RUNNING
    done = second.result(20)
    assert done is not None
    assert done.ending.state == GenerationState.SUCCEEDED


def test_many_wait_at_once_on_few_connections_and_the_ledger_agrees_with_the_providers_bill(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    http.post(f"{ai_sandbox.url}/reset").raise_for_status()
    ai_sandbox.faults(
        rules=[{"latency": {"distribution": "constant", "ms": 400}, "error_rates": {"500": 0.2}}], seed=7
    )
    asked = [ask(agency, variables=numbered(number)) for number in range(40)]

    at_once(40, lambda index: run_generation(generation_id=asked[index].pk, clock=timezone.now))

    with tenant_transaction(agency):
        assert Generation.objects.filter(state=GenerationState.SUCCEEDED).count() == 40
        ours = {
            (row["provider"], row["model"]): (row["input"], row["cached"], row["output"])
            for row in LedgerEntry.objects.values("provider", "model").annotate(
                input=Sum("input_tokens"), cached=Sum("cached_tokens"), output=Sum("output_tokens")
            )
        }
    usage = http.get(f"{ai_sandbox.url}/usage").json()
    theirs = {
        (provider, model): (
            figures["prompt_tokens"],
            figures["cached_tokens"],
            figures["completion_tokens"],
        )
        for provider, models in usage.items()
        for model, figures in models.items()
        if figures["answered"]
    }
    assert ours == theirs


def numbered(number: int) -> dict[str, Any]:
    return {**VARIABLES["campaign_template"], "account": {"name": f"Mia {number}"}}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What tasks would put on the broker."""
    messages: list[tuple[str, dict[str, Any]]] = []

    def send(name: str, args: Any = None, kwargs: Any = None, **_: Any) -> None:
        messages.append((name, kwargs))

    monkeypatch.setattr(app, "send_task", send)
    monkeypatch.setattr(run_task, "apply_async", lambda args, kwargs, **_: send(run_task.name, args, kwargs))
    return messages


def test_the_campaign_that_waits_for_it_is_told(
    agency: Tenant, sent: list[tuple[str, dict[str, Any]]]
) -> None:
    campaign = uuid7()
    alone, of_campaign = ask(agency), ask(agency, campaign_id=campaign)

    for each in (alone, of_campaign, of_campaign):
        run_task(generation_id=str(each.pk))

    told = [each for each in sent if each[0].startswith("tasks.campaigns.")]
    assert told == [("tasks.campaigns.advance_campaign", {"campaign_id": str(campaign)})]


def test_the_sweep_hints_at_what_waits(agency: Tenant, sent: list[tuple[str, dict[str, Any]]]) -> None:
    old = ask(agency)
    ask(agency)
    with tenant_transaction(agency):
        Generation.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(minutes=1))

    sweep_generations()

    assert sent == [("tasks.ai.run_generation", {"generation_id": str(old.pk)})]


def test_the_sweeps_hints_expire_when_it_gives_others(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    options: list[dict[str, Any]] = []
    monkeypatch.setattr(run_task, "apply_async", lambda *_, **given: options.append(given))
    old = ask(agency)
    with tenant_transaction(agency):
        Generation.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(minutes=1))

    sweep_generations()

    assert options == [{"expires": settings.SWEEP_INTERVAL.total_seconds()}]


def test_the_ticks_of_costs_settle_what_was_abandoned(agency: Tenant) -> None:
    asked = ask(agency)
    run_generation(generation_id=asked.pk, clock=timezone.now)
    with system_transaction():
        Hold.objects.update(state="held", ended_at=None, expires_at=timezone.now(), attempt=2)

    settle_abandoned_holds()

    assert held(agency) == 0
