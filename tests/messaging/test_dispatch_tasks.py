"""The queue `dispatch` with a real broker and a real worker."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from uuid import uuid4

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connection
from django.utils import timezone

from apps.messaging.models import Account
from apps.messaging.services.claim import ACCOUNTS_AT_ONCE, Claim
from apps.messaging.services.pressure import BACKLOG_CALM_S, LATE_S, Pressure, Turns
from apps.tenants.models import Tenant
from huntaze.celery import app
from tasks import dispatch
from tests import factories
from tests.conftest import Sandbox
from tests.messaging import dispatching as d
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def worker() -> Iterator[None]:
    """A worker of the queue `dispatch`, as the stack starts it, but in this process."""
    app.control.purge()
    with start_worker(app, pool="threads", concurrency=4, queues=["dispatch"], perform_ping_check=False):
        yield
    with dispatch._claiming:
        # Only now has it come to the end of its last claim.
        connection.close()


@pytest.mark.usefixtures("worker")
def test_one_tick_sends_whatever_is_due(gateway: Sandbox, agency: Tenant) -> None:
    outbox = d.outbox_of(agency)
    for _ in range(120):  # more accounts than one claim visits
        account = factories.account(tenant=agency)
        d.enqueue(account, 1, outbox=outbox)

    dispatch.claim_due_messages.delay()

    wait_until(lambda: d.fresh(outbox).sent == 120, seconds=20, what="120 messages sent")
    assert gateway.audit()["accepted"] == 120


@pytest.mark.usefixtures("worker")
def test_the_sweep_finds_what_a_lost_task_left(gateway: Sandbox, account: Account) -> None:
    outbox = d.enqueue(account, 2, now=timezone.now())
    d.change(account, next_due=None)

    dispatch.sweep_messages.delay()
    wait_until(lambda: d.fresh(account).next_due, seconds=20, what="the sweep")
    dispatch.claim_due_messages.delay()

    wait_until(lambda: d.fresh(outbox).sent == 2, seconds=20, what="2 messages sent")


class Claiming:
    """What `_claims` asks for and how long it rests, while claims find what they are told to.

    Time goes by only while it rests, and 10 ms with each claim.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = Claim()
        self.now = 100.0
        self.asked: list[tuple[int, int | None]] = []
        self.rests: list[float] = []
        self._going = dispatch._claims(until=float("inf"))
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(dispatch, "_claim", self._claim)
        monkeypatch.setattr(dispatch._stopping, "wait", self._rest)
        self.pressure = Pressure()
        monkeypatch.setattr(dispatch, "PRESSURE", self.pressure)
        monkeypatch.setattr(dispatch, "TURNS", Turns())

    def again(self) -> None:
        """Go on as another task does."""
        self._going = dispatch._claims(until=float("inf"))

    def claims(self, number: int, found: Claim) -> list[tuple[int, int | None]]:
        """How many accounts, and how many of a backlog, so many further claims may visit."""
        self.found = found
        first = len(self.asked)
        list(islice(self._going, number))
        return self.asked[first:]

    def _claim(self, most: int, of_backlog: int | None = None) -> Claim:
        self.asked.append((most, of_backlog))
        self.now += 0.01
        cut = of_backlog is not None
        return replace(self.found, curtailed=cut, held_back=cut)

    def _rest(self, seconds: float) -> bool:
        self.rests.append(seconds)
        self.now += seconds
        return False


@pytest.fixture
def claiming(monkeypatch: pytest.MonkeyPatch) -> Claiming:
    return Claiming(monkeypatch)


def _backlog(*, shared: bool, even: bool = False) -> Claim:
    return Claim(message_ids=[uuid4()], more=True, shared=shared, even=even)


def test_while_others_send_a_backlog_gets_what_there_is_time_for(claiming: Claiming) -> None:
    soon = claiming.claims(5, _backlog(shared=True))
    claiming.pressure.note(0.01)
    claiming.pressure.note(40 * BACKLOG_CALM_S)
    (*_, late) = claiming.claims(2, _backlog(shared=True))

    assert {most for most, _ in soon} == {ACCOUNTS_AT_ONCE}
    assert late[1] is not None
    assert all(of_backlog is not None and of_backlog > late[1] for _, of_backlog in soon)
    assert set(claiming.rests) == {dispatch.CLAIM_SOON_S}


def test_that_others_send_is_known_to_the_next_task_too(claiming: Claiming) -> None:
    claiming.claims(1, _backlog(shared=True))
    claiming.again()
    claiming.now += dispatch.SHARED_FOR_S / 2
    assert claiming.claims(1, _backlog(shared=False))[0][1] is not None
    claiming.now += dispatch.SHARED_FOR_S
    assert claiming.claims(1, _backlog(shared=False))[0][1] is None


def test_a_backlog_that_nobody_waits_for_gets_all_again(claiming: Claiming) -> None:
    claiming.claims(1, _backlog(shared=True))
    asked = claiming.claims(1000, _backlog(shared=False))
    assert asked[0][1] is not None
    assert asked[-1] == (ACCOUNTS_AT_ONCE, None)
    number = len(claiming.rests)
    claiming.claims(10, _backlog(shared=False))
    assert len(claiming.rests) == number


def test_where_everybody_has_a_backlog_claims_are_full_however_late_messages_are(claiming: Claiming) -> None:
    claiming.claims(1, _backlog(shared=True, even=True))
    claiming.pressure.note(2 * LATE_S)
    assert claiming.claims(9, _backlog(shared=True, even=True)) == [(ACCOUNTS_AT_ONCE, None)] * 9
    assert claiming.rests == [dispatch.CLAIM_SOON_S]


def test_late_messages_hold_no_claim_while_others_send(claiming: Claiming) -> None:
    claiming.claims(1, _backlog(shared=True))
    claiming.pressure.note(2 * LATE_S)
    assert len(claiming.claims(3, _backlog(shared=True))) == 3


def test_late_messages_hold_a_backlog_that_is_alone(claiming: Claiming) -> None:
    claiming.claims(100, _backlog(shared=False))
    claiming.pressure.note(2 * LATE_S)
    assert claiming.claims(1, _backlog(shared=False)) == []
