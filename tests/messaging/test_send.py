"""Claim and send against the gateway's own ledger: the limit, the guards, what is held while waiting."""

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from datetime import time as wall_time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from apps.common.ids import uuid7
from apps.messaging.gateways import client
from apps.messaging.gateways.base import HandedBack, NotConnected, Outcome, Request, Sent, Unknown
from apps.messaging.gateways.onlyfans import OnlyFansGateway
from apps.messaging.limiter.rules import Log
from apps.messaging.models import Account
from apps.messaging.services import due, outcomes, send
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import Sandbox
from tests.messaging import dispatching as d
from tests.pools import pool_is_whole
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_due_message_is_sent(gateway: Sandbox, account: Account) -> None:
    outbox = d.enqueue(account, 3)

    d.dispatch()

    assert d.counts(outbox) == {"sent": 3}
    assert gateway.audit()["accepted"] == 3
    message = d.rows(outbox=outbox)[0]
    assert message.sent_at
    assert message.platform_id
    assert message.attempt == 1


def test_a_second_delivery_of_the_task_sends_nothing(gateway: Sandbox, account: Account) -> None:
    d.enqueue(account, 3)
    granted = d.dispatch()

    d.send_now(granted)

    assert gateway.audit()["arrivals"] == 3


def test_outcomes_that_the_database_does_not_take_are_written_later(
    gateway: Sandbox, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(**given: Any) -> outcomes.PutOff:
        if (failures := next(remaining, 0)) > 0:
            raise OperationalError(f"canceling statement due to lock timeout ({failures})")
        return really(**given)

    remaining, really = iter([2, 1]), outcomes.record
    monkeypatch.setattr(outcomes, "record", record)
    monkeypatch.setattr(send, "RECORD_AGAIN", [timedelta(0)])
    monkeypatch.setattr(client, "RESULTS_AT_ONCE", 2)
    outbox = d.enqueue(account, 4)

    d.dispatch()

    assert d.counts(outbox) == {"sent": 4}


def test_an_account_that_somebody_has_locked_keeps_no_outcome_waiting(
    gateway: Sandbox,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client, "RESULTS_EVERY_S", 60)
    locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        with system_transaction():
            due.lock([account.pk])
            locked.set()
            release.wait(10)
        connection.close()

    outbox = d.enqueue(account, 11)
    granted = d.grant()
    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(hold)
        locked.wait(10)
        sending = pool.submit(d.send_now, granted)
        wait_until(lambda: len(d.rows(outbox=outbox, state="sent")) == 10, seconds=10, what="the outcomes")
        assert not sending.done()
        assert "batch.record_failed" not in caplog.text, "at once, not when the lock was given up"
        as_granted = d.fresh(account).next_due
        release.set()
        holding.result()
        sending.result()

    assert d.fresh(account).next_due < as_granted - timedelta(seconds=5), "looked at when its slot is free"


@pytest.mark.parametrize("for_good", [False, True])
def test_an_account_that_is_locked_for_too_long_costs_no_outcome(
    gateway: Sandbox, account: Account, monkeypatch: pytest.MonkeyPatch, for_good: bool
) -> None:
    asked: list[object] = []
    really = due.lock

    def lock(account_ids: list[UUID], *, waits: bool = True) -> dict[UUID, datetime | None]:
        assert not waits, "nobody's outcomes wait for it"
        asked.append(account_ids)
        return {} if for_good or len(asked) < 3 else really(account_ids, waits=False)

    outbox = d.enqueue(account, 11)
    granted = d.grant()
    as_granted = d.fresh(account).next_due
    monkeypatch.setattr(due, "lock", lock)
    monkeypatch.setattr(send, "RECORD_AGAIN", 3 * [timedelta(0)])

    d.send_now(granted)

    assert d.counts(outbox) == {"queued": 1, "sent": 10}
    in_time = d.fresh(account).next_due < as_granted - timedelta(seconds=5)
    assert in_time != for_good, "looked at when its slot is free, if that could be written at all"


def test_deliveries_of_one_task_side_by_side_send_once(gateway: Sandbox, account: Account) -> None:
    outbox = d.enqueue(account, 10)
    granted = d.grant()

    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(d.send_now, granted) for _ in range(4)]:
            each.result()

    assert gateway.audit()["arrivals"] == 10
    assert d.counts(outbox) == {"sent": 10}


def test_what_comes_too_late_is_not_started(gateway: Sandbox, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, now=now)
    granted = d.grant(now)

    send.send_batch(message_ids=granted, now=now + timedelta(seconds=5))

    assert gateway.audit()["arrivals"] == 0
    assert d.counts(outbox) == {"sending": 1}


@pytest.mark.parametrize("what", ["account", "tenant", "outbox", "cancelled", "consent", "quiet"])
def test_what_is_stopped_after_its_grant_is_handed_back(
    gateway: Sandbox, agency: Tenant, account: Account, what: str
) -> None:
    now = timezone.now()
    fan = factories.fan(account=account)
    outbox = d.enqueue(account, fans=[fan], now=now)
    granted = d.grant(now)
    match what:
        case "account":
            d.change(account, paused_at=now)
        case "tenant":
            d.change(agency, paused_at=now)
        case "outbox":
            d.change(outbox, paused_at=now)
        case "cancelled":
            d.change(outbox, cancelled_at=now)
        case "consent":
            d.change(fan, consent=False)
        case "quiet":
            d.change(account, quiet_start=wall_time(0), quiet_end=wall_time(0))

    d.send_now(granted)

    assert gateway.audit()["arrivals"] == 0
    assert d.counts(outbox) == {"queued": 1}
    assert d.row(outbox=outbox).slots == []


def test_the_limit_holds_in_every_window_of_the_gateways_clock(gateway: Sandbox, agency: Tenant) -> None:
    gateway.faults(
        rules=[
            {"operation": "send", "latency": {"distribution": "uniform", "min_ms": 0, "max_ms": 150}},
        ]
    )
    accounts = [factories.account(tenant=agency, limit_count=5, limit_seconds=1) for _ in range(3)]
    outbox = d.outbox_of(agency)
    for account in accounts:
        d.enqueue(account, 16, outbox=outbox)
    batches: list[Future[None]] = []
    with ThreadPoolExecutor(6) as pool:

        def step() -> bool:
            if granted := d.grant():
                batches.append(pool.submit(d.send_now, granted))
            return bool(d.fresh(outbox).sent == 48)

        wait_until(step, seconds=30, what="48 messages sent", every=0.02)
    for batch in batches:
        batch.result()

    audit = gateway.audit(seconds=1, limit=5)
    assert audit["within_limit"], audit
    assert (audit["accepted"], audit["duplicates_by_key"]) == (48, 0)
    # Not by going slower than need be, either: some window is full.
    assert audit["worst_account"]["count"] == 5
    assert d.counts(outbox) == {"sent": 48}


@pytest.mark.usefixtures("own_pool")
def test_no_connection_is_held_while_the_gateway_is_waited_for(gateway: Sandbox, account: Account) -> None:
    gateway.faults(rules=[{"operation": "send", "latency": {"distribution": "constant", "ms": 1000}}])
    d.enqueue(account, 3)
    granted = d.grant()
    connection.close()
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(d.send_now, granted)
        wait_until(lambda: gateway.audit()["arrivals"] == 3, seconds=10, what="arrivals", every=0.02)
        wait_until(lambda: pool_is_whole() or batch.done(), seconds=10, what="the pool", every=0.02)
        assert not batch.done()
        batch.result()


def test_a_batch_is_not_sent_inside_a_transaction(gateway: Sandbox, account: Account) -> None:
    d.enqueue(account)
    granted = d.grant()
    with pytest.raises(RuntimeError), transaction.atomic():
        d.send_now(granted)
    assert gateway.audit()["arrivals"] == 0


def request(base: str, **fields: Any) -> Outcome:
    """One request through the client, past the engine."""
    values = {
        "message_id": uuid7(),
        "attempt": 1,
        "account_id": uuid7(),
        "platform": "onlyfans",
        "account": "creator",
        "credential": "a token",
        "recipient": "fan",
        "text": "Hello",
        "price": None,
        "media": [],
        "granted_at": time.monotonic(),
        "write_by": time.monotonic() + 5,
        "is_probe": False,
        "account_log": Log("account", uuid7(), ()),
        "logs": (),
    }
    gateway = OnlyFansGateway(base=base, user_agent="Huntaze/test")
    calls = [gateway.send(Request(**{**values, **fields}))]
    (outcomes,) = client.stream(calls)
    return outcomes[0]


def test_a_request_past_its_time_is_handed_back_unwritten(gateway: Sandbox) -> None:
    base = f"{gateway.url}/gateway"
    assert isinstance(request(base), Sent)
    for _ in range(2):  # over the kept-alive connection, and none is spoilt by it
        assert request(base, write_by=time.monotonic() - 0.001) == HandedBack()
    assert isinstance(request(base), Sent)
    assert gateway.audit()["arrivals"] == 2


def test_ids_of_the_platform_may_hold_anything(gateway: Sandbox) -> None:
    strange = "a/b?c#d%20 é💋"
    assert isinstance(request(f"{gateway.url}/gateway", account=strange, recipient=strange), Sent)
    (arrival,) = d.arrivals(gateway)
    assert (arrival["account"], arrival["recipient"]) == (strange, strange)


def test_a_timed_out_connection_is_reset_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SEND_TIMEOUT", timedelta(seconds=0.3))
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends: list[str] = []

        def listen() -> None:
            peer, _ = server.accept()
            try:
                while peer.recv(65536):
                    pass
                ends.append("closed")
            except ConnectionResetError:
                ends.append("reset")
            peer.close()

        listener = threading.Thread(target=listen)
        listener.start()
        outcome = request(f"http://127.0.0.1:{server.getsockname()[1]}")
        listener.join(timeout=5)

    assert isinstance(outcome, Unknown)
    assert (outcome.reason, outcome.over) == ("timed_out", False)
    assert ends == ["reset"]


def test_a_server_that_never_takes_the_connection_was_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT", timedelta(seconds=0.3))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        # The queue of connections that nobody accepts is full: the next one's handshake isn't answered.
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            fillers.append(filler)
        outcome = request(f"http://127.0.0.1:{address[1]}")
        for filler in fillers:
            filler.close()
    assert isinstance(outcome, NotConnected)


def test_a_redirect_is_not_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
            peer.close()

        threading.Thread(target=answer).start()
        outcome = request(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert isinstance(outcome, Unknown)
    assert outcome.reason == "malformed"


def test_the_protocol_is_spoken_to_the_letter() -> None:
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            said.append(peer.recv(65536))
            peer.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{"id":"p1"}')
            peer.close()

        threading.Thread(target=answer).start()
        key = uuid7()
        outcome = request(
            f"http://127.0.0.1:{server.getsockname()[1]}/base/", message_id=key, price=Decimal("12")
        )

    assert outcome == Sent(platform_id="p1")
    head, _, body = said[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /base/accounts/creator/chats/fan/messages HTTP/1.1\r\n")
    for header in (f"Idempotency-Key: {key}", "Authorization: Bearer a token", "User-Agent: Huntaze/test"):
        assert header in head.splitlines()
    assert body == '{"text": "Hello", "price": "12.00", "media": []}'


@pytest.mark.usefixtures("gateway")
def test_a_batch_goes_in_the_order_of_its_claim(account: Account) -> None:
    d.enqueue(account, 3)
    given = sorted(d.grant(), reverse=True)
    assert len(given) == 3
    batch = send.start(message_ids=given, clock=send.Clock.at(timezone.now()), platforms=["onlyfans"])
    assert [request.message_id for request in batch.requests] == given
