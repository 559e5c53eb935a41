"""Questions of the queue that come while every breaker is open: they wait for a recovery in their rows."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.deadlines import BACKGROUND
from apps.ai.health import check_orchestrator
from apps.ai.metrics import oldest_due
from apps.ai.models import Deployment, Generation, GenerationState, ModelClass
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Failure, FailureKind
from apps.ai.refusals import refusal
from apps.ai.services import recovery
from apps.ai.services.breakers import force_breaker
from apps.ai.services.generations import cancel_generations, run_generation, waiting_generations
from apps.ai.services.watch import soonest
from apps.common.breaker.rules import State
from apps.common.errors import UnavailableError
from apps.common.ids import uuid7
from apps.costs.models import Hold
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.ai import breakers
from tests.ai.asking import answer, ask, caption, read
from tests.ai.stand_ins import standing_in
from tests.conftest import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

MINUTE = timedelta(minutes=1)


def writers() -> list[Deployment]:
    with system_transaction():
        return list(Deployment.objects.exclude(model_class=ModelClass.EMBEDDING))


@pytest.fixture
def all_open(deployments: None) -> None:
    for each in writers():
        breakers.fail(each)


def ends_of(row: Generation) -> tuple[str, str]:
    return row.state, row.error_code


def waits_for(row: Generation, begun: datetime) -> timedelta:
    assert row.lease_expires_at is not None
    return row.lease_expires_at - begun


def run(row: Generation, *, later: timedelta = timedelta()) -> None:
    run_generation(generation_id=row.pk, clock=lambda: timezone.now() + later)


@pytest.mark.usefixtures("all_open")
def test_a_question_that_nobody_waits_for_is_put_back_until_a_breaker_lets_somebody_through(
    agency: Tenant,
) -> None:
    asked, begun = ask(agency), timezone.now()

    run(asked)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.PENDING, "")
    assert row.lease_expires_at is not None
    assert MINUTE - timedelta(seconds=5) < row.lease_expires_at - begun < MINUTE + timedelta(seconds=5)
    assert any("breaker open" in str(each.get("passed_over")) for each in row.explain)
    assert waiting_generations(now=row.lease_expires_at - timedelta(seconds=1)) == []
    assert waiting_generations(now=row.lease_expires_at) == [asked.pk]


@pytest.mark.usefixtures("all_open")
def test_nobody_takes_it_before_and_then_it_is_answered(agency: Tenant) -> None:
    asked = ask(agency)
    run(asked)
    breakers.forget()

    run(asked)
    assert read(agency, asked.pk).state == GenerationState.PENDING
    run(asked, later=MINUTE + timedelta(seconds=5))

    assert ends_of(read(agency, asked.pk)) == (GenerationState.SUCCEEDED, "")


@pytest.mark.usefixtures("all_open")
def test_a_recovery_beyond_its_deadline_is_not_waited_for(agency: Tenant) -> None:
    asked = ask(agency)
    run(asked)

    run(asked, later=BACKGROUND.total - timedelta(seconds=30))

    assert ends_of(read(agency, asked.pk)) == (GenerationState.FAILED, "circuit_open")


def test_a_breaker_that_is_held_open_is_looked_at_again_soon(agency: Tenant) -> None:
    for each in writers():
        force_breaker(deployment=each, state=State.OPEN, by=uuid7(), reason="Maintenance.")
    asked, begun = ask(agency), timezone.now()

    run(asked)

    row = read(agency, asked.pk)
    assert row.state == GenerationState.PENDING
    assert row.lease_expires_at is not None
    assert row.lease_expires_at - begun < timedelta(seconds=30)


def test_attempts_made_before_the_wait_count(
    agency: Tenant, ai_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed, then both breakers were found open: three attempts are left of four."""
    ai_sandbox.faults(rules=[{"error_rates": {"500": 1}}])
    complete = PROVIDERS["openai"].complete

    def call(body: Any, *, timeout: timedelta) -> Any:
        for each in writers():
            breakers.fail(each)  # as other processes find out meanwhile
        return complete(body, timeout=timeout)

    monkeypatch.setattr(PROVIDERS["openai"], "complete", call)
    asked = ask(agency)
    run(asked)
    row = read(agency, asked.pk)
    assert (*ends_of(row), row.attempts) == (GenerationState.PENDING, "", 1)
    breakers.forget()
    monkeypatch.setattr(PROVIDERS["openai"], "complete", complete)

    run(asked, later=2 * MINUTE)

    row = read(agency, asked.pk)
    assert (*ends_of(row), row.attempts) == (GenerationState.FAILED, "server_error", 4)
    with tenant_transaction(agency):
        assert sorted(Hold.objects.values_list("attempt", flat=True)) == [1, 2, 3, 4]


@pytest.mark.usefixtures("all_open")
def test_its_campaigns_end_is_its_own(agency: Tenant) -> None:
    campaign = uuid7()
    asked = ask(agency, campaign_id=campaign)
    run(asked)

    with tenant_transaction(agency):
        assert cancel_generations(campaign_id=campaign, now=timezone.now()) == 1

    assert ends_of(read(agency, asked.pk)) == (GenerationState.FAILED, "campaign_over")


@pytest.mark.usefixtures("all_open")
def test_it_lacks_no_worker(agency: Tenant) -> None:
    asked, now = ask(agency), timezone.now()
    run(asked)

    with system_transaction():
        assert oldest_due(now) is None
    queue = check_orchestrator(now=now + MINUTE / 2).queue
    assert queue is not None
    assert (queue.pending, queue.oldest_due_age) == (1, timedelta())


@pytest.mark.usefixtures("all_open")
def test_a_deployment_that_would_be_passed_over_anyway_is_not_waited_for(agency: Tenant) -> None:
    """Its breaker is closed, so the question would have its turn again at once, and take everybody else's."""
    factories.deployment(model="gpt-from-tomorrow")
    asked, begun = ask(agency), timezone.now()

    run(asked)

    assert waits_for(read(agency, asked.pk), begun) > MINUTE / 2


def test_a_deployment_that_gave_its_last_word_is_not_waited_for(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one filters it would filter again; the other one's connection comes back."""

    def lost(*_: Any, **__: Any) -> Failure:
        (azure,) = [each for each in writers() if each.provider == "azure"]
        breakers.fail(azure)
        return Failure(FailureKind.CONNECTION, "It is lost.")

    filtered = Failure(FailureKind.CONTENT_FILTERED, "It is filtered.")
    monkeypatch.setattr(PROVIDERS["openai"], "complete", standing_in(lambda *_, **__: filtered))
    monkeypatch.setattr(PROVIDERS["azure"], "complete", standing_in(lost))
    asked, begun = ask(agency), timezone.now()

    run(asked)

    row = read(agency, asked.pk)
    assert ends_of(row) == (GenerationState.PENDING, "")
    assert waits_for(row, begun) > MINUTE / 2


@pytest.mark.usefixtures("all_open")
def test_nobody_is_put_back_for_less_than_a_second(agency: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "soonest", lambda _: timedelta())
    asked, begun = ask(agency), timezone.now()

    run(asked)

    assert waits_for(read(agency, asked.pk), begun) >= timedelta(seconds=1)


@pytest.mark.usefixtures("all_open")
def test_who_asks_is_told_to_come_again_when_a_breaker_lets_somebody_through(agency: Tenant) -> None:
    factories.deployment(model="gpt-from-tomorrow")
    question = caption(agency)
    answer(question)

    told = refusal(read(agency, question.id), time_zone="UTC")

    assert isinstance(told, UnavailableError)
    assert told.retry_after is not None
    assert told.retry_after > MINUTE / 2


def test_a_probe_that_is_under_way_is_expected_back_before_its_lease_ends(settings: Any) -> None:
    settings.BREAKER_RECOVERY = timedelta()
    for each in writers():
        breakers.fail(each)
        breakers.probe(each)
    left = soonest({each.name for each in writers()})
    assert left is not None
    assert left <= timedelta(seconds=5)
