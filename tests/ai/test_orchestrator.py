"""Attempts, retries, fallback, repair and their money, against the sandbox through the real clients."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from apps.ai import answers, backoff
from apps.ai.deadlines import BACKGROUND, Timing
from apps.ai.models import Deployment, Generation, GenerationState, PromptTemplate
from apps.ai.providers import PROVIDERS
from apps.ai.services import orchestrator, records
from apps.ai.services.generations import make_question, run_generation
from apps.ai.services.records import Record
from apps.ai.services.rows import Ending
from apps.ai.services.watch import COOL_DOWN
from apps.common.ids import uuid7
from apps.costs.models import Hold, LedgerEntry
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import Purpose
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai import breakers
from tests.ai.asking import VARIABLES, answer, ask, caption, read
from tests.ai.stand_ins import standing_in
from tests.conftest import Sandbox
from tests.costs.spending import counters

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments", "quick")]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Short waits between attempts, and attempts of half a second."""
    monkeypatch.setattr(backoff, "BASE", timedelta(milliseconds=2))
    settings.AI_ATTEMPT_TIMEOUT = timedelta(milliseconds=500)


def run(tenant: Tenant, prompt: str = "campaign_template", **fields: Any) -> Generation:
    asked = ask(tenant, prompt, **fields)
    assert run_generation(generation_id=asked.pk, clock=timezone.now) is not None
    return read(tenant, asked.pk)


def outcomes(done: Generation | Ending) -> list[tuple[object, object]]:
    """(deployment, outcome) of each attempt."""
    return [(each["deployment"], each["outcome"]) for each in done.explain if "attempt" in each]


def money(tenant: Tenant) -> list[tuple[str, bool | None]]:
    """What became of each hold: its state, and whether its entry is an estimate (None without an entry)."""
    with tenant_transaction(tenant):
        estimated = {entry.attempt: entry.estimated for entry in LedgerEntry.objects.all()}
        return [(hold.state, estimated.get(hold.attempt)) for hold in Hold.objects.order_by("attempt")]


def test_a_failure_that_passes_is_tried_again_once_and_then_elsewhere(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"500": 1}, "count": 2}])

    done = run(agency)

    assert outcomes(done) == [
        ("openai", "server_error"),
        ("openai", "server_error"),
        ("azure", "answered"),
    ]
    assert money(agency) == [("released", None), ("released", None), ("settled", False)]
    assert done.attempts == 3


@pytest.mark.parametrize(
    ("prompt", "first", "second"), [("campaign_plan", "azure", "openai"), ("fan_message", "openai", "azure")]
)
def test_the_other_provider_answers_when_the_preferred_one_is_down(
    agency: Tenant, ai_sandbox: Sandbox, prompt: str, first: str, second: str
) -> None:
    ai_sandbox.faults(rules=[{"provider": first, "error_rates": {"503": 1}}])

    done = run(agency, prompt)

    assert done.state == GenerationState.SUCCEEDED
    assert outcomes(done) == [(first, "server_error")] * 2 + [(second, "answered")]
    with tenant_transaction(agency):
        assert LedgerEntry.objects.get().provider == second


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [({"error_rates": {"401": 1}}, "auth"), ({"content_filter": 1}, "content_filtered")],
)
def test_a_failure_that_stays_is_not_tried_again(
    agency: Tenant, ai_sandbox: Sandbox, fault: dict[str, Any], outcome: str
) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", **fault}])

    done = run(agency)

    assert outcomes(done) == [("openai", outcome), ("azure", "answered")]


@pytest.mark.parametrize(
    ("fault", "outcome", "second"),
    [
        ({"hang": 1}, "timeout", "azure"),
        ({"cut_after": 1}, "connection", "openai"),
        ({"malformed": 1}, "malformed", "openai"),
    ],
)
def test_an_attempt_that_may_have_been_billed_is_settled_at_its_bound(
    agency: Tenant, ai_sandbox: Sandbox, fault: dict[str, Any], outcome: str, second: str
) -> None:
    ai_sandbox.faults(rules=[{**fault, "count": 1}])

    done = run(agency)

    assert outcomes(done) == [("openai", outcome), (second, "answered")]
    assert money(agency) == [("settled", True), ("settled", False)]
    with tenant_transaction(agency):
        entries = {entry.attempt: entry.amount for entry in LedgerEntry.objects.all()}
        assert entries[1] == Hold.objects.get(attempt=1).bound
    assert done.cost == sum(entries.values())


def test_the_wait_that_a_provider_asks_for_is_kept(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"429": 1}, "retry_after": 1, "count": 1}])

    done = run(agency)

    assert outcomes(done) == [("openai", "rate_limited"), ("openai", "answered")]
    assert done.latency is not None
    assert done.latency >= timedelta(seconds=1)


def test_a_person_does_not_wait_at_one_provider_while_the_other_is_free(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"429": 1}, "retry_after": 2, "count": 1}])

    done = answer(caption(agency))

    assert outcomes(done) == [("openai", "rate_limited"), ("azure", "answered")]


def test_a_person_waits_where_there_is_nobody_else(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"429": 1}, "retry_after": 1, "count": 1}])
    with system_transaction():
        Deployment.objects.filter(provider="azure").update(enabled=False)

    done = answer(caption(agency))

    assert outcomes(done) == [("openai", "rate_limited"), ("openai", "answered")]


def test_who_is_too_fast_for_a_provider_that_says_no_time_waits_for_its_cool_down(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"429": 1}, "retry_after_form": "none", "count": 1}])

    done = run(agency)

    assert outcomes(done) == [("openai", "rate_limited"), ("openai", "answered")]
    assert done.latency is not None
    assert done.latency >= COOL_DOWN


def test_nobody_is_called_whose_breaker_has_opened_since_the_question_began(
    agency: Tenant, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"500": 1}}])
    with system_transaction():
        azure = Deployment.objects.get(provider="azure", model_class="advanced")
    called: list[tuple[str, timedelta]] = []
    monkeypatch.setattr(PROVIDERS["azure"], "complete", noting(PROVIDERS["azure"].complete, called))
    complete = PROVIDERS["openai"].complete

    def call(body: Any, *, timeout: timedelta) -> Any:
        breakers.fail(azure)  # as other processes find out meanwhile
        return complete(body, timeout=timeout)

    monkeypatch.setattr(PROVIDERS["openai"], "complete", call)

    done = answer(caption(agency))

    assert outcomes(done) == [
        ("openai", "server_error"),
        ("openai", "server_error"),
        ("azure", "circuit_open"),
    ]
    assert called == []
    assert done.attempts == 2


def test_a_wait_beyond_the_deadline_is_the_other_providers_turn(agency: Tenant, ai_sandbox: Sandbox) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"429": 1}, "retry_after": 600}])

    done = run(agency)

    assert outcomes(done) == [("openai", "rate_limited"), ("azure", "answered")]


def test_when_nobody_answers_the_reason_names_both_and_nothing_stays_held(
    agency: Tenant, ai_sandbox: Sandbox
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"500": 1}}])

    done = run(agency)

    assert (done.state, done.error_code) == (GenerationState.FAILED, "server_error")
    assert "openai (gpt-3.5-turbo)" in done.error
    assert "azure (gpt-4o)" in done.error
    assert done.attempts == 4
    assert done.cost == 0
    assert money(agency) == [("released", None)] * 4


def test_an_answer_that_nobody_can_check_is_paid_for_once_and_asked_elsewhere(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(*_: Any, **__: Any) -> Any:
        raise TypeError("no such number")

    monkeypatch.setattr(answers, "read", trip)

    done = run(agency)

    assert done.error_code == "unusable_answer"
    assert len(outcomes(done)) == done.attempts
    assert {state for state, _ in money(agency)} == {"settled"}


def test_an_answer_that_is_cut_off_is_repaired_once_and_then_asked_elsewhere(agency: Tenant) -> None:
    done = run(agency, max_tokens=5)

    assert done.state == GenerationState.FAILED
    assert outcomes(done) == [
        ("openai", "unusable_answer"),
        ("openai", "unusable_answer"),
        ("azure", "unusable_answer"),
        ("azure", "unusable_answer"),
    ]
    assert money(agency) == [("settled", False)] * 4


@pytest.fixture
def loose_prompt() -> Iterator[str]:
    """A prompt whose schema has an optional property, which strict mode refuses."""
    schema = {"type": "object", "properties": {"summary": {"type": "string"}}, "required": []}
    with system_transaction():
        prompt = PromptTemplate.objects.create(
            key="loose",
            version=1,
            is_active=True,
            task_kind="planning",
            output_schema=schema,
            body='Plan it, as {"summary": "…"}.',
        )
    yield prompt.key
    with system_transaction():
        Generation.objects.all().delete()
        prompt.delete()


def test_a_schema_that_a_provider_refuses_is_asked_for_in_words(agency: Tenant, loose_prompt: str) -> None:
    done = run(agency, loose_prompt, variables={})

    assert outcomes(done) == [("azure", "unsupported_format"), ("azure", "answered")]
    assert isinstance(done.data, dict)
    assert isinstance(done.data["summary"], str)


def test_structured_answers_fit_their_schema(agency: Tenant) -> None:
    done = run(agency, "campaign_plan")

    assert isinstance(done.data, dict)
    assert set(done.data) == {"summary", "angle", "offer", "call_to_action", "steps", "guidance"}


def test_a_model_without_a_price_is_passed_over(agency: Tenant) -> None:
    with system_transaction():
        Deployment.objects.filter(provider="openai").update(model="gpt-from-tomorrow")

    done = run(agency)

    assert outcomes(done) == [("azure", "answered")]
    assert {"deployment": "openai", "passed_over": "no price"} in done.explain


def test_a_budget_too_small_for_one_model_leaves_the_cheaper_one(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal("0.01"), now=timezone.now())

    done = run(agency, "campaign_plan")

    assert outcomes(done) == [("azure", "budget_exhausted"), ("openai", "answered")]
    assert counters(agency) == [(done.cost, 0)]


def test_an_exhausted_budget_ends_the_generation_before_any_call(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal("0.000001"), now=timezone.now())

    done = run(agency)

    assert (done.state, done.error_code) == (GenerationState.FAILED, "budget_exhausted")
    assert "0.000001" in done.error
    assert money(agency) == []


def test_what_several_deployments_met_at_one_budget_is_said_once(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal("0.000001"), now=timezone.now())

    done = run(agency, "campaign_plan")

    assert outcomes(done) == [("azure", "budget_exhausted"), ("openai", "budget_exhausted")]
    assert done.error.count("the budget of") == done.error.count("Raise the limit") == 1
    assert done.error.count(" needs up to ") == 2
    assert ".;" not in done.error


def test_different_troubles_are_sentences_of_their_own(agency: Tenant, ai_sandbox: Sandbox) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal("0.01"), now=timezone.now())
    ai_sandbox.faults(rules=[{"error_rates": {"401": 1}}])

    done = run(agency, "campaign_plan")

    assert {kind for _, kind in outcomes(done)} == {"budget_exhausted", "auth"}
    assert "wait for the next period. openai (" in done.error
    assert done.error.endswith(".")
    assert not done.error.endswith("..")


def test_a_busy_budget_is_waited_for(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal("0.01"), now=timezone.now())
    other = holds.take(
        purpose=Purpose(agency.pk, uuid7(), "message", timezone.now()),
        attempt=1,
        provider="openai",
        model="gpt-3.5-turbo",
        body_bytes=20_000,
        max_tokens=0,
        expires_at=timezone.now() + timedelta(minutes=5),
        now=timezone.now(),
    )
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holds.release(hold=other, now=timezone.now())

    answer = generate(agency, clock=timezone.now, sleep=sleep)

    assert answer.model.startswith("gpt-3.5-turbo")
    assert len(waits) == 3


def test_no_connection_and_no_transaction_is_held_while_a_provider_is_called(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    complete = PROVIDERS["openai"].complete

    def watch(body: Any, *, timeout: timedelta) -> Any:
        seen.append(connection.connection)
        return complete(body, timeout=timeout)

    monkeypatch.setattr(PROVIDERS["openai"], "complete", standing_in(watch))
    run(agency)

    assert seen == [None]


def test_disabled_and_unconfigured_deployments_are_passed_over(agency: Tenant, settings: Any) -> None:
    settings.AZURE_OPENAI_API_KEY = ""
    with system_transaction():
        Deployment.objects.filter(name="openai").update(enabled=False)

    done = run(agency)

    assert (done.state, done.error_code) == (GenerationState.FAILED, "no_deployment")
    assert "enable or add one" in done.error
    why = {each["deployment"]: each["passed_over"] for each in done.explain}
    assert "disabled" in why["openai"]
    assert "AZURE_OPENAI_API_KEY" in why["azure"]


class Clock:
    """Time that passes only when somebody sleeps or calls."""

    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_waits_leave_the_other_provider_the_time_of_an_attempt(
    agency: Tenant, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ai_sandbox.faults(rules=[{"provider": "openai", "error_rates": {"429": 1}, "retry_after": 100}])
    clock = Clock()
    timeouts: list[tuple[str, timedelta]] = []
    for name in ("openai", "azure"):
        monkeypatch.setattr(PROVIDERS[name], "complete", noting(PROVIDERS[name].complete, timeouts))

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        breakers.forget()  # by Redis's clock no time has passed

    answer = generate(agency, clock=clock, sleep=sleep)

    # A third attempt at OpenAI, after 200 seconds, would leave Azure less than its minute of the four.
    minute = timedelta(seconds=60)
    assert timeouts == [("gpt-3.5-turbo", minute), ("gpt-3.5-turbo", minute), ("gpt-4o", minute)]
    assert answer.model.startswith("gpt-4o")


def test_all_attempts_together_end_with_the_deadline(
    agency: Tenant, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ai_sandbox.faults(rules=[{"error_rates": {"500": 1}}])
    clock = Clock()
    begun = clock.now
    for name in ("openai", "azure"):
        complete = taking_all_its_time(PROVIDERS[name].complete, clock)
        monkeypatch.setattr(PROVIDERS[name], "complete", complete)

    answer = generate(agency, clock=clock, sleep=clock.advance)

    assert (answer.state, answer.error_code) == (GenerationState.FAILED, "server_error")
    assert clock.now - begun <= timedelta(seconds=240)


def generate(tenant: Tenant, *, clock: Callable[[], datetime], sleep: Callable[[float], None]) -> Ending:
    """Ask for a message at once."""
    question = make_question(
        tenant_id=tenant.pk,
        prompt_key="campaign_template",
        variables=VARIABLES["campaign_template"],
        now=clock(),
        max_tokens=200,
    )
    return orchestrator.generate(
        question, record=Record(question), deadlines=BACKGROUND, timing=Timing(clock=clock, sleep=sleep)
    )


def noting(complete: Callable[..., Any], timeouts: list[tuple[str, timedelta]]) -> Callable[..., Any]:
    def call(body: Any, *, timeout: timedelta) -> Any:
        timeouts.append((body["model"], timeout))
        return complete(body, timeout=timeout)

    return call


def taking_all_its_time(complete: Callable[..., Any], clock: Clock) -> Callable[..., Any]:
    def call(body: Any, *, timeout: timedelta) -> Any:
        clock.advance(timeout.total_seconds())
        return complete(body, timeout=timeout)

    return call


def test_a_database_that_is_away_for_a_moment_loses_no_usage(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, failures = holds.settle, iter([True, False])

    def settle_at_the_second_try(**arguments: Any) -> LedgerEntry | None:
        if next(failures):
            raise OperationalError("canceling statement due to lock timeout")
        return settle(**arguments)

    monkeypatch.setattr(holds, "settle", settle_at_the_second_try)
    monkeypatch.setattr(records, "DATABASE_AWAY", timedelta(milliseconds=1))
    done = run(agency)
    assert (done.state, done.attempts) == (GenerationState.SUCCEEDED, 1)
    assert money(agency) == [("settled", False)]
