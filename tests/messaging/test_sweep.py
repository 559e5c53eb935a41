"""Whatever dies, and wherever: nothing is lost, nothing is sent twice."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.messaging.models import Account
from apps.messaging.services import lookups, messages, outboxes, send, sweep
from apps.messaging.services.send import Clock
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.conftest import Sandbox
from tests.messaging import dispatching as d
from tests.services import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
A_MOMENT = timedelta(microseconds=1)


def test_what_nobody_started_comes_back_with_its_slot(gateway: Sandbox, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, 10, now=now)
    d.grant(now)

    d.sweep_all(now + 6 * SECOND)
    assert d.counts(outbox) == {"sending": 10}
    d.sweep_all(now + 6 * SECOND + A_MOMENT)

    assert d.counts(outbox) == {"queued": 10}
    assert {tuple(message.slots) for message in d.rows(outbox=outbox)} == {()}
    assert len(d.grant(now + 6 * SECOND + A_MOMENT)) == 10


def start_only(granted: list[Any], now: Any) -> None:
    """A sender that dies before it has written anything, or after: nobody can tell."""
    send.start(message_ids=granted, clock=Clock.at(now), platforms=["onlyfans"])


def test_a_sender_that_died_before_writing_costs_no_message(gateway: Sandbox, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, now=now)
    start_only(d.grant(now), now)

    sweep.doubt_abandoned(now=now + 30 * SECOND)
    assert d.counts(outbox) == {"sending": 1}
    d.sweep_all(now + 30 * SECOND + A_MOMENT)

    # The look-up, due already, found nothing.
    assert d.counts(outbox) == {"queued": 1}
    assert d.row(outbox=outbox).failures == 0
    later = now + HOUR
    assert len(d.grant(later)) == 1
    assert gateway.audit()["accepted"] == 0


@pytest.mark.parametrize("honour_keys", [True, False])
def test_a_sender_killed_while_it_waits_neither_loses_nor_doubles(
    gateway: Sandbox, account: Account, settings: Any, honour_keys: bool
) -> None:
    gateway.faults(
        rules=[{"operation": "send", "latency": {"distribution": "constant", "ms": 60_000}}],
        honour_keys=honour_keys,
    )
    outbox = d.enqueue(account, 5)
    script = (
        "import django; django.setup();"
        "from django.utils import timezone;"
        "from apps.messaging.services import claim, send;"
        "now = timezone.now();"
        "send.send_batch(message_ids=claim.claim_messages(now=now).message_ids, now=now)"
    )
    environment = {
        **os.environ,
        "ONLYFANS_API_URL": settings.ONLYFANS_API_URL,
        "DJANGO_SETTINGS_MODULE": "huntaze.settings",
    }
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=environment) as sender:
        wait_until(lambda: gateway.audit()["accepted"] == 5, seconds=20, what="arrivals")
        sender.send_signal(signal.SIGKILL)
    gateway.faults(honour_keys=honour_keys)
    assert d.counts(outbox) == {"sending": 5}

    d.sweep_all(timezone.now() + 31 * SECOND)

    assert d.counts(outbox) == {"sent": 5}
    audit = gateway.audit()
    assert (audit["accepted"], audit["duplicates_by_text"]) == (5, 0)


def test_a_look_up_whose_worker_died_is_made_again(gateway: Sandbox, account: Account) -> None:
    gateway.faults(rules=[{"operation": "send", "cut_after": 1}])
    outbox = d.enqueue(account)
    d.dispatch()
    due = d.row(outbox=outbox).look_up_at
    assert due

    assert len(lookups.take(now=due, platforms={"onlyfans": None})) == 1  # type: ignore[dict-item]  # unused
    assert lookups.settle_unknown(now=due) == 0
    assert lookups.settle_unknown(now=due + 30 * SECOND) == 1

    assert d.counts(outbox) == {"sent": 1}


@pytest.mark.parametrize("next_due", [None, HOUR])
def test_a_forgotten_account_is_brought_forward(
    gateway: Sandbox, account: Account, next_due: timedelta | None
) -> None:
    now = timezone.now()
    d.enqueue(account, now=now)
    d.change(account, next_due=next_due and now + next_due)

    assert sweep.wake_forgotten(now=now) == 1

    assert d.fresh(account).next_due == now
    assert len(d.grant(now)) == 1


def test_an_account_with_a_reason_to_wait_is_left_alone(gateway: Sandbox, account: Account) -> None:
    now = timezone.now()
    d.enqueue(account, now=now + HOUR)
    assert sweep.wake_forgotten(now=now) == 0
    d.enqueue(account, now=now)
    d.change(account, blocked_until=now + HOUR, next_due=now + HOUR)
    assert sweep.wake_forgotten(now=now) == 0


def test_an_account_whose_lanes_all_stand_still_is_not_woken(gateway: Sandbox, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, now=now)
    d.change(outbox, paused_at=now)
    d.grant(now)
    assert d.fresh(account).next_due is None
    assert sweep.wake_forgotten(now=now) == 0


def test_a_resumed_outbox_goes_on_after_a_sweep(gateway: Sandbox, agency: Tenant, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, 2, now=now)
    with tenant_transaction(agency):
        outboxes.pause(outbox=outbox, now=now)
    assert d.dispatch(now) == []
    with tenant_transaction(agency):
        outboxes.resume(outbox=outbox, now=now)

    d.sweep_all(now)
    d.dispatch()

    assert d.counts(outbox) == {"sent": 2}


def test_a_cancelled_outboxs_rows_are_marked(
    gateway: Sandbox, agency: Tenant, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "CANCELLED_AT_ONCE", 5)
    outbox = d.enqueue(account, 22)
    untouched = d.enqueue(account, 1)
    d.grant()
    with tenant_transaction(agency):
        assert outboxes.cancel(outbox=outbox, now=timezone.now()) == 10

    d.sweep_all(timezone.now())

    assert d.counts(outbox) == {"sending": 10, "cancelled": 12}
    assert {message.reason for message in d.rows(outbox=outbox, state="cancelled")} == {"outbox_cancelled"}
    assert d.counts(untouched) == {"queued": 1}


def test_an_unknown_message_of_a_cancelled_outbox_still_comes_to_its_end(
    gateway: Sandbox, account: Account
) -> None:
    gateway.faults(rules=[{"operation": "send", "cut_before": 1}])
    outbox = d.enqueue(account)
    d.dispatch()
    d.change(outbox, cancelled_at=timezone.now())
    later = timezone.now() + HOUR

    d.sweep_all(later)
    d.sweep_all(later)

    assert d.counts(outbox) == {"cancelled": 1}


def test_a_dead_message_is_replayed_with_the_same_words_and_key(
    gateway: Sandbox, agency: Tenant, account: Account
) -> None:
    gateway.faults(rules=[{"operation": "send", "count": 1, "error_rates": {"403": 1}}])
    outbox = d.enqueue(account, text="Ünïcödé 👩‍👩‍👧 مرحبا")
    d.dispatch()
    dead = d.row(outbox=outbox)
    assert dead.state == "dead"

    with tenant_transaction(agency):
        assert messages.replay(message_ids=[dead.pk], now=timezone.now()) == 1
        assert messages.replay(message_ids=[dead.pk], now=timezone.now()) == 0
    d.dispatch()

    assert d.counts(outbox) == {"sent": 1}
    assert (d.row(pk=dead.pk).attempt, len(d.row(pk=dead.pk).slots)) == (2, 2)
    arrivals = d.arrivals(gateway)
    assert len({(arrival["key"], arrival["text_hash"]) for arrival in arrivals}) == 1


@pytest.mark.parametrize(("action", "becomes"), [("mark_sent", "sent"), ("send_again", "queued")])
def test_an_operator_decides_about_an_unknown_message(
    gateway: Sandbox, agency: Tenant, account: Account, action: str, becomes: str
) -> None:
    gateway.faults(rules=[{"operation": "send", "cut_after": 1}], lookup="absent_404")
    outbox = d.enqueue(account)
    d.dispatch()
    unknown = d.row(outbox=outbox)

    with tenant_transaction(agency):
        assert getattr(messages, action)(message_ids=[unknown.pk], now=timezone.now()) == 1

    assert d.counts(outbox) == {becomes: 1}
