"""Questions that are put back: what they have cost, their attempts, and when nobody wants them any longer."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone
from opentelemetry.trace import StatusCode

from apps.ai.deadlines import BACKGROUND
from apps.ai.models import Generation, GenerationState
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.services.generations import cancel_generations, run_generation
from apps.common.ids import uuid7
from apps.costs.models import LedgerEntry
from apps.costs.pricing import Usage
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.ai import breakers
from tests.ai.asking import ask, read
from tests.ai.stand_ins import standing_in
from tests.ai.test_recovery import ends_of, run, writers
from tests.tracing import keep_spans

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

MINUTE = timedelta(minutes=1)
LOST = Failure(FailureKind.CONNECTION, "It is lost.", maybe_billed=True)


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Outcome]], None]:
    """Have every provider say that."""

    def say(call: Callable[[], Outcome]) -> None:
        for provider in PROVIDERS.values():
            monkeypatch.setattr(provider, "complete", standing_in(lambda *_, **__: call()))

    return say


def open_all() -> None:
    for each in writers():
        breakers.fail(each)


def lost() -> Outcome:
    """As other processes find out meanwhile."""
    open_all()
    return LOST


def dies() -> Outcome:
    raise MemoryError


def is_cancelled(row: Generation) -> None:
    assert row.campaign_id is not None
    with tenant_transaction(row.tenant_id):
        cancel_generations(campaign_id=row.campaign_id, now=timezone.now())


def spent(tenant: Tenant) -> Decimal:
    with tenant_transaction(tenant):
        return LedgerEntry.objects.aggregate(all=Sum("amount"))["all"] or Decimal(0)


def test_its_row_shows_what_it_has_cost(agency: Tenant, says: Any) -> None:
    says(lost)
    asked = ask(agency, campaign_id=uuid7())

    run(asked)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.PENDING, "")
    assert row.cost == spent(agency) > 0
    is_cancelled(asked)
    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.FAILED, "campaign_over")
    assert row.cost == spent(agency)
    assert "before anybody" not in row.error


def test_it_is_not_put_back_when_its_campaign_ended_meanwhile(agency: Tenant, says: Any) -> None:
    def call() -> Outcome:
        is_cancelled(asked)
        return lost()

    says(call)
    asked = ask(agency, campaign_id=uuid7())

    run(asked)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.FAILED, "campaign_over")
    assert row.cost == spent(agency) > 0
    assert next(each["outcome"] for each in row.explain if "attempt" in each) == "connection"


def test_what_is_answered_although_its_campaign_has_ended_is_kept(agency: Tenant, says: Any) -> None:
    def call() -> Outcome:
        is_cancelled(asked)
        return Completion("Hello.", usage=Usage(10, 5), model="m", finish_reason="stop")

    says(call)
    asked = ask(agency, campaign_id=uuid7())

    run(asked)

    assert ends_of(read(agency, asked.pk)) == (GenerationState.SUCCEEDED, "")


def test_what_a_dead_process_left_is_not_asked_again_when_its_campaign_has_ended(
    agency: Tenant, says: Any
) -> None:
    def call() -> Outcome:
        calls.append(1)
        return dies()

    calls: list[int] = []
    says(call)
    asked = ask(agency, campaign_id=uuid7())
    with suppress(MemoryError):
        run(asked)
    is_cancelled(asked)
    assert read(agency, asked.pk).state == GenerationState.RUNNING

    run(asked, later=5 * MINUTE)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.FAILED, "campaign_over")
    assert len(calls) == 1
    assert row.cost == spent(agency) > 0


def test_attempts_of_dead_processes_take_nothing_from_the_run_that_follows(agency: Tenant, says: Any) -> None:
    def call() -> Outcome:
        calls.append(1)
        return dies() if len(calls) == 4 else Failure(FailureKind.SERVER_ERROR, "It is down.")

    calls: list[int] = []
    says(call)
    asked = ask(agency)
    with suppress(MemoryError):
        run(asked)
    open_all()
    run(asked, later=2 * MINUTE)
    row = read(agency, asked.pk)
    assert (*ends_of(row), row.attempts) == (GenerationState.PENDING, "", 4)
    breakers.forget()

    run(asked, later=3 * MINUTE + timedelta(seconds=5))

    row = read(agency, asked.pk)
    assert (*ends_of(row), row.attempts) == (GenerationState.FAILED, "server_error", 8)


@pytest.mark.parametrize(("later", "made"), [(130, 2), (600, 1)])
def test_it_has_what_is_left_of_its_time_and_an_attempts_at_least(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch, later: int, made: int
) -> None:
    now = timezone.now()

    def call(_: Any, *, timeout: timedelta) -> Outcome:
        nonlocal now
        now += timeout
        return Failure(FailureKind.TIMEOUT, "It took too long.")

    open_all()
    asked = ask(agency)
    run(asked)
    breakers.forget()
    for provider in PROVIDERS.values():
        monkeypatch.setattr(provider, "complete", standing_in(call))
    now += timedelta(seconds=later)

    run_generation(generation_id=asked.pk, clock=lambda: now)

    row = read(agency, asked.pk)
    assert (*ends_of(row), row.attempts) == (GenerationState.FAILED, "timeout", made)


def test_a_question_over_which_processes_die_before_they_ask_is_given_up(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        failures.append(1)
        raise MemoryError

    failures: list[int] = []
    asked = ask(agency)
    monkeypatch.setattr("apps.ai.services.prompts.render_request", fail)

    for times in range(30):
        with suppress(MemoryError):
            run(asked, later=5 * times * MINUTE)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.FAILED, "abandoned")
    assert len(failures) == 3 * (1 + BACKGROUND.retries)


def test_a_wait_is_no_error_in_a_trace(agency: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    open_all()
    asked = ask(agency)
    kept = keep_spans(monkeypatch)

    assert run_generation(generation_id=asked.pk, clock=timezone.now) is None

    assert kept.named("generation message").status.status_code == StatusCode.UNSET
