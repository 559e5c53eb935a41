"""Two hundred callers in four processes, one question, and a leader that may be killed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.models import Generation, GenerationState, Source
from apps.ai.services.generations import run_generation
from apps.costs.models import Hold, HoldState
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from huntaze.places import CLONE
from tests.ai.held import Flight, HeldProvider, held_provider
from tests.ai.question_process import PATIENT
from tests.costs.spending import counters, entries
from tests.unmeasured import unmeasured
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]

PROCESSES, THREADS = 4, 50
CALLERS = PROCESSES * THREADS
Process = subprocess.Popen[str]


@pytest.fixture
def provider() -> Iterator[HeldProvider]:
    with held_provider() as provider:
        yield provider


@pytest.fixture
def started() -> Iterator[ExitStack]:
    with ExitStack() as processes:
        yield processes


@pytest.fixture(autouse=True)
def budgeted(agency: Tenant) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())


def start(started: ExitStack, provider: HeldProvider, tenant: Tenant, *threads: int) -> list[Process]:
    """A process for each number of threads, ready to ask."""
    few_connections = {"HUNTAZE_DB_POOL": "6", "HUNTAZE_LOG_LEVEL": "ERROR"}
    environment = {**unmeasured(), **provider.environment, **few_connections}
    processes = []
    for number in threads:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ai.question_process", str(tenant.pk), str(number)],
            cwd=CLONE,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(started.enter_context(process))
        started.callback(process.kill)
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    return processes


def let_ask(*processes: Process) -> None:
    for each in processes:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()


def heard(processes: list[Process]) -> list[dict[str, Any]]:
    """What became of each question."""
    return [each for process in processes for each in json.loads(process.communicate(timeout=120)[0])]


def check_answered(answers: list[dict[str, Any]]) -> None:
    """Everybody got the same answer, in time."""
    assert len(answers) == CALLERS
    assert {(each["state"], each["error"]) for each in answers} == {("succeeded", "")}
    assert len({each["text"] for each in answers}) == 1
    assert max(each["seconds"] for each in answers) < PATIENT.total.total_seconds()


def rows_of(tenant: Tenant) -> list[Generation]:
    with tenant_transaction(tenant):
        return list(Generation.objects.all())


def holds_of(tenant: Tenant) -> list[Hold]:
    with tenant_transaction(tenant):
        return list(Hold.objects.order_by("id"))


def check_books(tenant: Tenant) -> None:
    """The budget has spent what the ledger says, and holds nothing."""
    spent = sum((each.amount for each in entries(tenant)), Decimal(0))
    assert counters(tenant) == [(spent, Decimal(0))]
    assert not [each for each in holds_of(tenant) if each.state == HoldState.HELD]


def test_two_hundred_identical_questions_in_four_processes_are_one_call(
    agency: Tenant, provider: HeldProvider, started: ExitStack
) -> None:
    processes = start(started, provider, agency, *[THREADS] * PROCESSES)
    provider.hold()
    let_ask(*processes)
    Flight(agency.pk).wait_for_waiters(CALLERS - 1)
    provider.go_on()

    check_answered(heard(processes))
    assert provider.calls == 1
    rows = rows_of(agency)
    (leader,) = [each for each in rows if each.joined_id is None]
    assert (len(rows), {each.state for each in rows}) == (CALLERS, {"succeeded"})
    assert {each.joined_id for each in rows} == {None, leader.pk}
    (entry,) = entries(agency)
    assert (entry.generation_id, entry.estimated) == (leader.pk, False)
    check_books(agency)


def test_those_who_joined_a_leader_that_is_killed_are_answered_and_its_call_is_settled_by_estimate(
    agency: Tenant, provider: HeldProvider, started: ExitStack
) -> None:
    (doomed,) = start(started, provider, agency, 1)
    processes = start(started, provider, agency, *[THREADS] * PROCESSES)
    flight = Flight(agency.pk)
    provider.hold()
    let_ask(doomed)
    (dead,) = wait_until(lambda: holds_of(agency), seconds=60, what="a call of the leader's")
    token = flight.wait_for_leader()
    let_ask(*processes)
    flight.wait_for_waiters(CALLERS)
    doomed.kill()
    flight.wait_for_leader(unlike=token)
    provider.go_on()

    check_answered(heard(processes))
    assert provider.calls <= 2
    (live,) = entries(agency)
    assert (live.estimated, live.generation_id == dead.generation_id) == (False, False)
    assert holds.settle_abandoned(now=timezone.now()) == 0
    later = dead.expires_at + timedelta(seconds=1)
    assert holds.settle_abandoned(now=later) == 1
    estimated = entries(agency)[-1]
    assert (estimated.generation_id, estimated.estimated) == (dead.generation_id, True)
    assert estimated.amount == dead.bound
    check_books(agency)

    # Its own question is answered by whoever finds it: it is known by now.
    calls = provider.calls
    run = run_generation(generation_id=dead.generation_id, clock=lambda: later)
    assert run is not None
    assert (run.ending.state, run.ending.source) == (GenerationState.SUCCEEDED, Source.CACHE)
    assert (provider.calls, len(entries(agency))) == (calls, 2)
