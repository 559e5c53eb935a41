"""Generations whose claims are lost, whose calls are sent again, whose processes die."""

import signal
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from threading import Event
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.ai.models import Generation
from apps.ai.services import rows
from apps.ai.services.generations import waiting_generations
from apps.ai.services.rows import ClaimLostError, Ended, Settlement
from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.costs.models import BudgetCounter, Hold
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import Purpose
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.ai.asking import ask
from tests.ai.attempts import (
    FAILED,
    MINUTE,
    SUCCEEDED,
    attempt,
    begin,
    begun,
    end,
    hold_of,
    purpose_of,
    question,
    refused,
    states,
)
from tests.costs.spending import counters, dollar_price, dollars, entries, take
from tests.costs.threads import at_once
from tests.services import ROOT
from tests.tenants.answers import lose_answers
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _price(db: None) -> None:
    dollar_price()


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def lost_before(tenant: Tenant, now: datetime, case: str) -> tuple[Purpose, datetime]:
    """A generation, and a lease of it that isn't, or is no longer, in force."""
    if case == "unknown":
        return purpose_of(tenant, now), now
    if case == "pending":
        return purpose_of(tenant, now, generation_id=ask(tenant, "fan_message").pk), now
    purpose = purpose_of(tenant, now)
    lease = begun(purpose, now).lease_expires_at
    if case == "finished":
        end(purpose, now, lease, SUCCEEDED)
    if case == "taken over":
        with tenant_transaction(tenant):
            Generation.objects.update(lease_expires_at=now + 5 * MINUTE)
    return purpose, lease


@pytest.mark.parametrize("case", ["unknown", "pending", "finished", "taken over"])
def test_a_claim_that_is_lost_begins_nothing(agency: Tenant, now: datetime, case: str) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    purpose, lease = lost_before(agency, now, case)
    before = counters(agency), states(agency)

    with pytest.raises(ClaimLostError):
        begin(purpose, now, attempt=attempt(now, 2), lease_was=lease, lease_until=lease + MINUTE)

    assert (counters(agency), states(agency)) == before


@pytest.mark.parametrize("case", ["pending", "finished", "taken over"])
def test_a_claim_that_is_lost_ends_nothing_but_its_hold(agency: Tenant, now: datetime, case: str) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    purpose, lease = lost_before(agency, now, case)
    before = states(agency)
    hold = take(agency, 5, generation_id=purpose.generation_id, attempt=2, now=now)

    with pytest.raises(ClaimLostError):
        end(purpose, now + MINUTE, lease, FAILED, Settlement(hold, dollars(3)))

    assert states(agency) == before
    (entry,) = entries(agency)
    assert [entry.attempt, entry.amount] == [2, 3]
    assert counters(agency)[0][0] == 3


def test_calls_whose_answers_are_lost_happen_once(
    agency: Tenant, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(25), now=now)
    purpose, asked, hit = purpose_of(agency, now), question(), purpose_of(agency, now)
    lose_answers(monkeypatch)

    first = begun(purpose, now, question=asked)
    second = begun(
        purpose, now, attempt=attempt(now, 2), lease_was=first.lease_expires_at, lease_until=now + 2 * MINUTE
    )
    assert counters(agency) == [(0, 20)]
    refusal = refused(
        purpose, now, attempt=attempt(now, 3), lease_was=now + 2 * MINUTE, lease_until=now + 3 * MINUTE
    )
    holds.release(hold=first.hold, now=now)
    ended = end(purpose, now, refusal.lease_expires_at, SUCCEEDED, Settlement(second.hold, dollars(7)))
    rows.record_generation(purpose=hit, question=asked, ending=SUCCEEDED, now=now)

    assert ended == Ended(7, 0, 0, Decimal(7))
    assert counters(agency) == [(7, 0)]
    (entry,) = entries(agency)
    assert [entry.attempt, entry.amount] == [2, 7]
    with tenant_transaction(agency):
        assert Generation.objects.filter(state="succeeded").count() == 2


def test_an_attempt_of_another_process_is_not_ours(agency: Tenant, now: datetime) -> None:
    purpose = purpose_of(agency, now)
    lease = begun(purpose, now).lease_expires_at

    assert refused(purpose, now, lease_was=lease).error.code == "attempt_taken"


def test_a_stranger_neither_begins_nor_ends_nor_replaces_it(
    agency: Tenant, stranger: Tenant, now: datetime
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    purpose = purpose_of(agency, now)
    found = begun(purpose, now)
    before = states(agency), counters(agency)
    theirs = purpose_of(stranger, now, generation_id=purpose.generation_id)
    lease = found.lease_expires_at

    with pytest.raises(ClaimLostError):
        begin(theirs, now, attempt=attempt(now, 2), lease_was=lease)
    with pytest.raises(ClaimLostError):
        begin(theirs, now, attempt=attempt(now, 2))
    with pytest.raises(ClaimLostError):
        end(theirs, now, lease, SUCCEEDED)
    with pytest.raises(Hold.DoesNotExist):
        end(theirs, now, lease, SUCCEEDED, Settlement(found.hold, dollars(1)))
    with pytest.raises(ClaimLostError):
        end(theirs, now, lease, SUCCEEDED, Settlement(found.hold, None, is_free=True))
    with pytest.raises(ConflictError):
        rows.record_generation(purpose=theirs, question=question(), ending=SUCCEEDED, now=now)

    assert (states(agency), counters(agency)) == before
    assert hold_of(agency).state == "held"
    assert states(stranger) == []


def test_nobody_takes_a_generation_over_while_its_money_is_being_settled(
    agency: Tenant, now: datetime
) -> None:
    """Its row is locked before its counters, as where an attempt begins, so neither waits for the other."""
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    purpose = purpose_of(agency, now)
    found = begun(purpose, now)
    blocked = Event()

    def is_waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # a transaction would see the same again
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database() AND query ~ 'ai_end_'"
            )
            return bool(cursor.fetchone() == (1,))

    def work(index: int) -> Ended | None:
        if index == 0:
            blocked.wait(60)
            return end(purpose, now, found.lease_expires_at, SUCCEEDED, Settlement(found.hold, dollars(3)))
        with tenant_transaction(agency):
            list(BudgetCounter.objects.select_for_update())
            blocked.set()
            wait_until(is_waiting, seconds=60, what="the end to wait for the counter", every=0.02)
            mine = Generation.objects.select_for_update(nowait=True).filter(pk=purpose.generation_id)
            with pytest.raises(OperationalError, match="could not obtain lock"), transaction.atomic():
                list(mine)
        return None

    ended, _ = at_once(2, work)

    assert ended == Ended(3, 0, 0, Decimal(3))


BEGIN_AND_HANG = """
import sys
from datetime import datetime
from uuid import UUID
import django
django.setup()
from apps.tenants.models import Tenant
from tests.ai.attempts import begin, purpose_of
now = datetime.fromisoformat(sys.argv[3])
begin(purpose_of(Tenant(pk=UUID(sys.argv[1])), now, generation_id=UUID(sys.argv[2])), now)
print("begun", flush=True)
sys.stdin.read()
"""


def test_a_process_that_is_killed_between_the_two_leaves_what_the_sweeps_mend(
    agency: Tenant, now: datetime
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    generation_id: UUID = uuid7()
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN_AND_HANG, str(agency.pk), str(generation_id), now.isoformat()],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"begun\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert counters(agency) == [(0, 10)]
    later = now + MINUTE

    assert waiting_generations(now=later) == [generation_id]
    assert holds.settle_abandoned(now=later, generation_id=generation_id) == 1

    assert counters(agency) == [(10, 0)]
    assert [entry.estimated for entry in entries(agency)] == [True]
    ended = end(purpose_of(agency, now, generation_id=generation_id), later, later, FAILED)
    assert ended.cost == 10
