"""The table of outcomes, row by row, against the gateway's faults and its ledger."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from redis import Redis

from apps.messaging.gateways import client
from apps.messaging.gateways.base import Dead, HandedBack, Request, Result, Sent, Throttled, Unknown
from apps.messaging.gateways.onlyfans import retry_after
from apps.messaging.limiter.rules import Limit, Log
from apps.messaging.models import Account, Message, Outbox
from apps.messaging.services import accounts, epoch, lookups, outcomes
from apps.notifications.models import Alert
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.conftest import Sandbox
from tests.messaging import dispatching as d

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(hours=24)


def attempt(account: Account, gateway: Sandbox, **rule: Any) -> tuple[Outbox, Message]:
    """One message is sent once, to a gateway with this fault."""
    gateway.faults(rules=[{"operation": "send", **rule}])
    outbox = d.enqueue(account)
    d.dispatch()
    return outbox, d.row(outbox=outbox)


def look_up(message: Message, *, now: datetime | None = None) -> Message:
    assert message.look_up_at
    lookups.settle_unknown(now=now or message.look_up_at)
    return d.row(pk=message.pk)


def result(message: Message, outcome: Any, *, attempt: int | None = None) -> Result:
    request = Request(
        message_id=message.pk,
        attempt=attempt or message.attempt,
        account_id=message.account_id,
        platform="onlyfans",
        account="",
        credential="",
        recipient="",
        text="",
        price=None,
        media=[],
        granted_at=0,
        write_by=0,
        is_probe=False,
        account_log=Log("account", message.account_id, Limit(10, 60).rules),
        logs=(),
    )
    return Result(request=request, outcome=outcome, ended_at=timezone.now())


def record(late: Result) -> None:
    with system_transaction():
        in_force = epoch.current()
    outcomes.record(results=[late], epoch=in_force, now=timezone.now())


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refusal_is_the_messages_end(gateway: Sandbox, account: Account, status: int) -> None:
    outbox, message = attempt(account, gateway, error_rates={str(status): 1})

    assert d.counts(outbox) == {"dead": 1}
    assert message.reason
    assert str(message.error)
    assert message.finished_at
    assert len(message.slots) == 1
    assert message.slots[0] <= timezone.now()


def test_a_refused_credential_pauses_the_account_and_says_so(
    gateway: Sandbox, agency: Tenant, account: Account
) -> None:
    gateway.faults(revoked_accounts=[account.external_id])
    outbox = d.enqueue(account, 2)

    d.dispatch()

    assert d.counts(outbox) == {"queued": 2}
    assert "401" in d.fresh(account).pause_reason
    assert d.grant(timezone.now() + DAY) == []
    with tenant_transaction(agency):
        assert Alert.objects.get().subject == str(account.pk)
    gateway.faults()
    with tenant_transaction(agency):
        accounts.resume_account(account=d.fresh(account), now=timezone.now())
    d.dispatch()
    assert d.counts(outbox) == {"sent": 2}
    assert {message.failures for message in d.rows(outbox=outbox)} == {0}


@pytest.mark.parametrize(("said", "waited"), [(7, 7), (0, 1), (86_400, 3600)])
def test_a_throttled_account_waits_as_long_as_it_is_told(
    gateway: Sandbox, account: Account, said: int, waited: int
) -> None:
    before = timezone.now()
    outbox, message = attempt(account, gateway, error_rates={"429": 1}, retry_after=said)

    assert d.counts(outbox) == {"queued": 1}
    found = d.fresh(account)
    assert timedelta(0) <= found.blocked_until - before - timedelta(seconds=waited) < timedelta(seconds=5)
    assert found.next_due == found.blocked_until
    assert message.failures == 0
    assert len(message.slots) == 1, "the platform saw the request, so its slot is used"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17),
        (None, 60),
        ("soon", 60),
        ("Sun, 01 Mar 2026 00:00:09 GMT", 9),
        ("9" * 5000, 9_999_999),
        ("Sun, 01 Mar 99999 00:00:09 GMT", 60),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(header: str | None, seconds: int) -> None:
    assert retry_after(header, now=datetime(2026, 3, 1, tzinfo=UTC)) == timedelta(seconds=seconds)


def test_a_connection_never_made_gives_the_slot_back(account: Account, settings: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.ONLYFANS_API_URL = f"http://127.0.0.1:{closed.getsockname()[1]}"
        outbox = d.enqueue(account)
        d.dispatch()

    message = d.row(outbox=outbox)
    assert d.counts(outbox) == {"queued": 1}
    assert (message.reason, message.slots, message.failures) == ("not_connected", [], 0)
    assert d.fresh(account).next_due >= message.not_before


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"error_rates": {"500": 1}}, "server_error"),
        ({"error_rates": {"503": 1}}, "server_error"),
        ({"error_rates": {"418": 1}}, "malformed"),
        ({"cut_before": 1}, "cut"),
    ],
)
def test_what_never_arrived_is_sent_again_once_the_look_up_says_so(
    gateway: Sandbox, account: Account, rule: dict[str, Any], reason: str
) -> None:
    outbox, message = attempt(account, gateway, **rule)

    assert d.counts(outbox) == {"unknown": 1}
    assert message.reason == reason
    assert message.look_up_at == message.slots[-1] + timedelta(seconds=5)
    lookups.settle_unknown(now=message.look_up_at - timedelta(microseconds=1))
    assert d.row(pk=message.pk).state == "unknown"
    assert look_up(message).failures == 1
    assert d.counts(outbox) == {"queued": 1}
    gateway.faults()
    d.dispatch(timezone.now() + timedelta(minutes=5))
    d.sweep_all(timezone.now())
    assert gateway.audit()["duplicates_by_text"] == 0


@pytest.mark.parametrize("rule", [{"malformed": 1}, {"cut_after": 1}])
@pytest.mark.parametrize("honour_keys", [True, False])
def test_what_did_arrive_is_found_and_not_sent_again(
    gateway: Sandbox, account: Account, rule: dict[str, Any], honour_keys: bool
) -> None:
    gateway.faults(rules=[{"operation": "send", **rule}], honour_keys=honour_keys)
    outbox = d.enqueue(account)
    d.dispatch()
    message = d.row(outbox=outbox)
    assert message.state == "unknown"

    found = look_up(message)

    assert (found.state, found.failures) == ("sent", 0)
    assert found.platform_id
    assert d.counts(outbox) == {"sent": 1}
    audit = gateway.audit()
    assert (audit["accepted"], audit["duplicates_by_text"]) == (1, 0)


def test_a_request_that_takes_too_long_keeps_its_whole_slot(
    gateway: Sandbox, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SEND_TIMEOUT", timedelta(seconds=0.3))
    now = timezone.now()
    gateway.faults(rules=[{"operation": "send", "hang": 1}])
    outbox = d.enqueue(account, now=now)

    d.dispatch(now)

    message = d.row(outbox=outbox)
    assert (message.state, message.reason) == ("unknown", "timed_out")
    assert message.slots == [now + timedelta(seconds=15)]


@pytest.mark.parametrize("lookup", ["absent_404", "absent_405", "absent_501"])
def test_without_a_look_up_a_message_stays_unknown_for_a_day(
    gateway: Sandbox, account: Account, lookup: str
) -> None:
    gateway.faults(rules=[{"operation": "send", "cut_after": 1}], lookup=lookup)
    outbox = d.enqueue(account)
    d.dispatch()
    message = d.row(outbox=outbox)
    assert message.started_at
    dies_at = message.started_at + DAY

    message = look_up(message)
    assert message.state == "unknown"
    message = look_up(message, now=dies_at - timedelta(minutes=1))
    assert (message.state, message.look_up_at) == ("unknown", dies_at)
    message = look_up(message)

    assert (message.state, message.reason) == ("dead", "outcome_unknown")
    assert d.counts(outbox) == {"dead": 1}
    assert gateway.audit()["accepted"] == 1


@pytest.mark.parametrize(
    "rule",
    [
        {"error_rates": {"500": 1}},
        {"malformed": 1},
        {"cut_before": 1, "count": 2},  # the client itself asks twice where a kept connection breaks
    ],
)
def test_a_look_up_that_fails_is_made_again(gateway: Sandbox, account: Account, rule: dict[str, Any]) -> None:
    gateway.faults(rules=[{"operation": "send", "cut_after": 1}, {"operation": "lookup", "count": 1, **rule}])
    outbox = d.enqueue(account)
    d.dispatch()

    message = look_up(d.row(outbox=outbox))

    assert message.state == "unknown"
    assert look_up(message).state == "sent"


def test_a_revoked_credential_leaves_the_look_up_open(gateway: Sandbox, account: Account) -> None:
    _, message = attempt(account, gateway, cut_after=1)
    gateway.faults(revoked_accounts=[account.external_id])
    message = look_up(message, now=timezone.now() + 2 * DAY)
    assert message.state == "unknown"
    gateway.faults()
    assert look_up(message).state == "sent"


def test_the_eighth_failure_is_the_last(gateway: Sandbox, account: Account) -> None:
    outbox, message = attempt(account, gateway, error_rates={"500": 1})
    d.change(message, failures=7)

    message = look_up(message)

    assert (message.state, message.reason, message.failures) == ("dead", "attempts_exhausted", 8)
    assert d.counts(outbox) == {"dead": 1}


def test_a_workers_death_is_not_the_messages_failure(gateway: Sandbox, account: Account) -> None:
    outbox, message = attempt(account, gateway, error_rates={"500": 1})
    d.change(message, failures=7, reason="worker_lost")
    assert look_up(message).failures == 7
    assert d.counts(outbox) == {"queued": 1}


def queued_again(account: Account, gateway: Sandbox) -> tuple[Outbox, Message]:
    outbox, message = attempt(account, gateway, error_rates={"500": 1})
    return outbox, look_up(message)


def test_a_late_sent_wins_over_the_queue(gateway: Sandbox, account: Account) -> None:
    outbox, message = queued_again(account, gateway)

    record(result(message, Sent(platform_id="p1")))

    assert d.counts(outbox) == {"sent": 1}
    assert d.row(pk=message.pk).platform_id == "p1"


@pytest.mark.parametrize(
    "late",
    [Dead(reason="x", error="y"), Throttled(timedelta(0)), Unknown(reason="cut", error=""), HandedBack()],
)
def test_any_other_late_outcome_changes_nothing(gateway: Sandbox, account: Account, late: Any) -> None:
    outbox, message = queued_again(account, gateway)

    record(result(message, late))

    assert d.counts(outbox) == {"queued": 1}
    assert d.row(pk=message.pk).slots == message.slots


def test_an_outcome_of_an_earlier_attempt_changes_nothing(gateway: Sandbox, account: Account) -> None:
    outbox, message = queued_again(account, gateway)
    d.grant(timezone.now() + timedelta(hours=1))

    record(result(message, Sent(platform_id="p1")))

    assert d.row(pk=message.pk).attempt == 2
    assert d.counts(outbox) == {"sending": 1}


def test_sent_stays_sent(gateway: Sandbox, account: Account) -> None:
    outbox, message = attempt(account, gateway)
    for late in (Dead(reason="x", error="y"), Unknown(reason="cut", error=""), HandedBack()):
        record(result(message, late))
    assert d.counts(outbox) == {"sent": 1}


def test_what_a_platform_writes_is_made_fit_for_the_database(gateway: Sandbox, account: Account) -> None:
    outbox, message = attempt(account, gateway, error_rates={"500": 1})
    nasty = Dead(reason="r\0\ud800" + "r" * 100, error="e\0\ud800" * 10_000)

    record(result(message, nasty))

    assert d.row(pk=message.pk).reason.startswith("r?r")
    assert d.counts(outbox) == {"dead": 1}


def test_a_slot_opens_a_window_after_the_answer_not_after_the_latest_arrival(
    gateway: Sandbox, account: Account
) -> None:
    now = timezone.now()
    d.change(account, limit_count=1)
    outbox = d.enqueue(account, 2, now=now)
    d.dispatch(now)

    (sent,) = d.rows(outbox=outbox, state="sent")
    assert sent.slots[0] < now + timedelta(seconds=10)
    assert d.fresh(account).next_due == sent.slots[0] + timedelta(seconds=60.25)
    with system_transaction():
        assert Account.objects.get(pk=account.pk).blocked_until is None


def test_what_is_recorded_while_redis_has_forgotten_frees_its_slots_in_time(
    gateway: Sandbox, account: Account
) -> None:
    """Its stamps can't be corrected there; the rows' are, and the account is looked at by them."""
    d.change(account, limit_count=1, limit_seconds=60)
    d.enqueue(account, 2)
    granted = d.grant()
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.flushall()

    d.send_now(granted)
    d.grant()

    assert d.fresh(account).next_due - timezone.now() < timedelta(seconds=61)
