"""Deliveries: once, whoever crowds; again, whoever dies."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from apps.common.errors import ConflictError
from apps.notifications.channels.base import Postponed, Refused, Sent, Unknown
from apps.notifications.models import Alert, Channel, Delivery, DeliveryState, NotificationTarget
from apps.notifications.services import deliveries as service
from apps.notifications.services import sending
from apps.notifications.services.alerts import raise_alert
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.costs.threads import at_once
from tests.killing import KilledError
from tests.notifications.alerting import alert, deliveries, delivery, send, target
from tests.notifications.receivers import MailServer, Receiver
from tests.services import ROOT
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 32
LEASE = service.LEASE


@pytest.fixture
def everywhere(agency: Tenant, mail: MailServer, slack: Receiver, hook: Receiver) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    target(agency, Channel.SLACK, slack.url)
    target(agency, Channel.WEBHOOK, hook.url)


def test_one_alert_of_many_workers_is_told_once_on_each_channel(
    everywhere: None, agency: Tenant, mail: MailServer, slack: Receiver, hook: Receiver
) -> None:
    def notice(_: int) -> bool:
        raised = alert(agency, rule="budget_threshold", subject="b", period="2026-03-01 80%")
        send()
        return raised is not None

    assert sum(at_once(WORKERS, notice)) == 1

    send()
    assert (len(mail.mails), len(slack.posts), len(hook.posts)) == (1, 1, 1)
    assert {(each.state, each.attempts) for each in deliveries()} == {(DeliveryState.SENT, 1)}
    with tenant_transaction(agency):
        assert Alert.objects.count() == 1


def test_many_alerts_of_many_workers_arrive_once_each(
    everywhere: None, agency: Tenant, hook: Receiver
) -> None:
    def notice(index: int) -> None:
        alert(agency, subject=str(index % 8))
        send(Channel.WEBHOOK)

    at_once(WORKERS, notice)

    while send(Channel.WEBHOOK):
        pass
    wait_until(lambda: len(hook.posts) >= 8, seconds=5, what="eight posts")
    assert len(hook.posts) == 8
    assert set(Counter(post.headers["webhook-id"] for post in hook.posts).values()) == {1}


def test_a_raise_that_is_rolled_back_leaves_the_alert_to_the_next(
    everywhere: None, agency: Tenant, mail: MailServer
) -> None:
    raised, go_on = threading.Event(), threading.Event()

    def roll_back() -> None:
        try:
            with tenant_transaction(agency):
                raise_alert(tenant_id=agency.pk, rule="x", message="x", now=timezone.now())
                raised.set()
                go_on.wait(10)
                raise KilledError
        except KilledError:
            pass
        finally:
            connection.close()

    first = threading.Thread(target=roll_back)
    first.start()
    assert raised.wait(10)
    threading.Timer(0.3, go_on.set).start()  # the second waits by then, or comes later, which is as well

    assert alert(agency, rule="x", period="", message="x") is not None

    first.join()
    send()
    assert len(mail.mails) == 1


@contextmanager
def sending_process(channel: Channel, mail_port: int, threads: int) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.notifications.delivery_process"),
            *(channel.value, str(mail_port), str(threads)),
        ],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "huntaze.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def test_processes_that_send_at_once_send_each_message_once(
    everywhere: None, agency: Tenant, mail: MailServer
) -> None:
    for index in range(12):
        alert(agency, subject=str(index))
    with (
        sending_process(Channel.EMAIL, mail.port, 4) as one,
        sending_process(Channel.EMAIL, mail.port, 4) as other,
    ):
        answers = []
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in (one, other):
            assert process.stdout is not None
            answers.append(int(process.stdout.readline()))

    rest = send(Channel.EMAIL)
    assert sum(answers) + rest == 12
    assert len({message["Message-ID"] for message in mail.mails}) == len(mail.mails) == 12


def test_a_process_that_is_killed_after_the_hand_over_is_made_up_for_once(
    everywhere: None, agency: Tenant, mail: MailServer
) -> None:
    taken, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        taken.set()
        go_on.wait(30)

    mail.before_the_answer = hold
    alert(agency)
    with sending_process(Channel.EMAIL, mail.port, 1) as process:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert taken.wait(30)
        process.kill()
        process.wait()
    mail.before_the_answer = lambda: None
    go_on.set()

    left = delivery(channel=Channel.EMAIL)
    assert (left.state, left.attempts) == (DeliveryState.SENDING, 1)
    assert send(Channel.EMAIL) == 0, "its lease hasn't expired"
    assert send(Channel.EMAIL, now=left.lease_expires_at) == 1

    first, second = mail.mails
    assert first["Message-ID"] == second["Message-ID"]
    found = delivery(channel=Channel.EMAIL)
    assert (found.state, found.attempts, found.interruptions) == (DeliveryState.SENT, 2, 1)


def die_of(monkeypatch: pytest.MonkeyPatch, channel: Channel) -> None:
    """The process is gone between the hand-over and the outcome."""
    real = sending.SENDERS[channel]

    def hand_over_and_die(envelope: Any) -> Any:
        real(envelope)
        raise KilledError

    monkeypatch.setattr(sending, "SENDERS", {**sending.SENDERS, channel: hand_over_and_die})


def test_what_is_interrupted_twice_has_failed_and_says_so(
    everywhere: None, agency: Tenant, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert(agency)
    now = timezone.now()
    with monkeypatch.context() as patch:
        die_of(patch, Channel.WEBHOOK)
        for _ in range(2):
            with pytest.raises(KilledError):
                send(Channel.WEBHOOK, now=now)
            connection.close()
            now += LEASE

    assert send(Channel.WEBHOOK, now=now) == 0

    found = delivery(channel=Channel.WEBHOOK)
    assert (found.state, found.error) == (DeliveryState.FAILED, service.INTERRUPTED_TWICE)
    assert len({post.headers["webhook-id"] for post in hook.posts}) == 1
    assert len(hook.posts) == 2
    with system_transaction():
        service.send_again(delivery=found, now=now)
    send(Channel.WEBHOOK, now=now)
    assert hook.posts[2].headers["webhook-id"] == hook.posts[0].headers["webhook-id"]
    assert delivery(channel=Channel.WEBHOOK).state == DeliveryState.SENT


def test_an_outcome_that_comes_after_the_lease_counts_only_if_it_arrived(
    everywhere: None, agency: Tenant
) -> None:
    alert(agency)
    now = timezone.now()
    late = service.claim(channel=Channel.SLACK, now=now)
    again = service.claim(channel=Channel.SLACK, now=now + LEASE)
    assert late is not None
    assert again is not None
    assert (late.envelope.id, again.interruptions) == (again.envelope.id, 1)

    service.record(late, Refused("late"), now=now)
    service.record(late, Postponed("late"), now=now)
    service.record(late, Unknown("late"), now=now)
    assert delivery(channel=Channel.SLACK).state == DeliveryState.SENDING

    service.record(late, Sent(), now=now)
    service.record(again, Refused("no"), now=now)
    assert delivery(channel=Channel.SLACK).state == DeliveryState.SENT


def test_while_a_channel_sends_no_connection_is_held(
    everywhere: None, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = sending.SENDERS[Channel.SLACK]

    def look(envelope: Any) -> Any:
        seen.append((connection.connection, connection.in_atomic_block))
        return real(envelope)

    monkeypatch.setattr(sending, "SENDERS", {Channel.SLACK: look})
    alert(agency)
    send(Channel.SLACK)
    assert seen == [(None, False)]


def test_an_outcome_is_written_once_the_database_is_back(
    everywhere: None, agency: Tenant, slack: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_DATABASE_AWAY_S", 0.01)
    real, failures = service.record, [OperationalError("away"), OperationalError("away")]

    def record(*arguments: Any, **named: Any) -> None:
        if failures:
            raise failures.pop()
        real(*arguments, **named)

    monkeypatch.setattr(service, "record", record)
    alert(agency)
    send(Channel.SLACK)
    assert delivery(channel=Channel.SLACK).state == DeliveryState.SENT
    assert len(slack.posts) == 1


def test_a_defect_of_ours_is_a_failure_that_is_said(
    everywhere: None, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(sending, "SENDERS", {Channel.SLACK: stumble})
    alert(agency)
    with pytest.raises(ZeroDivisionError):
        send(Channel.SLACK)
    assert "ZeroDivisionError, a defect of ours" in delivery(channel=Channel.SLACK).error


def test_one_to_a_target_at_a_time_and_others_meanwhile(agency: Tenant, slack: Receiver) -> None:
    target(agency, Channel.SLACK, slack.url, name="slow")
    target(agency, Channel.SLACK, slack.url, name="quick")
    for subject in "ab":
        alert(agency, subject=subject)
    now = timezone.now()
    claims = [service.claim(channel=Channel.SLACK, now=now) for _ in range(3)]
    assert [claimed and claimed.envelope.address.name for claimed in claims].count(None) == 1
    assert {claimed.envelope.address.name for claimed in claims if claimed} == {"slow", "quick"}


def test_a_secret_that_cannot_be_read_holds_up_no_other_delivery(
    everywhere: None, agency: Tenant, slack: Receiver
) -> None:
    broken = target(agency, Channel.SLACK, slack.url, name="a broken one")
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("UPDATE notifications_notificationtarget SET url = 'x' WHERE id = %s", [broken.pk])
    alert(agency)
    send(Channel.SLACK)
    assert len(slack.posts) == 1
    assert "HUNTAZE_ENCRYPTION_KEYS" in delivery(target=broken.name).error


def test_secrets_are_encrypted_and_in_no_delivery_and_no_log(
    agency: Tenant, slack: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    made = target(agency, Channel.SLACK, f"{slack.url}/services/hush")
    alert(agency)
    send()
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT url FROM notifications_notificationtarget")
        assert "hush" not in cursor.fetchone()[0]
    assert made.url not in f"{vars(delivery())}{caplog.text}"
    assert "hush" not in caplog.text


def test_a_target_that_is_removed_or_switched_off_is_sent_nothing(everywhere: None, agency: Tenant) -> None:
    alert(agency)
    with system_transaction():
        NotificationTarget.objects.filter(channel=Channel.SLACK).delete()
        NotificationTarget.objects.filter(channel=Channel.WEBHOOK).update(is_active=False)
    send()
    assert delivery(channel=Channel.SLACK).error == "The target was removed."
    assert delivery(channel=Channel.WEBHOOK).error == "The target is switched off."
    assert delivery(channel=Channel.EMAIL).state == DeliveryState.SENT


def test_a_digest_is_one_message_when_its_time_has_come(agency: Tenant, mail: MailServer) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example", digest_minutes=30)
    now = timezone.now()
    for number in range(3):
        alert(agency, subject=str(number), message=f"Trouble {number}", now=now + timedelta(minutes=number))
    assert send(now=now + timedelta(minutes=29)) == 0

    assert send(now=now + timedelta(minutes=30)) == 1

    (message,) = mail.mails
    assert message["Subject"] == "[Huntaze] 3 alerts, warning: Trouble 0"
    body = message.get_body(("plain",))
    assert body is not None
    assert [f"Trouble {number}" in body.get_content() for number in range(3)] == [True] * 3
    assert {each.state for each in deliveries()} == {DeliveryState.SENT}
    assert len({each.envelope_id for each in deliveries()}) == 1
    alert(agency, subject="later", now=now + timedelta(minutes=31))
    assert send(now=now + timedelta(minutes=60)) == 0
    assert send(now=now + timedelta(minutes=61)) == 1


def test_a_critical_alert_does_not_wait_for_a_digest_and_takes_the_others_along(
    agency: Tenant, mail: MailServer
) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example", digest_minutes=30)
    alert(agency, message="A small thing")
    assert send() == 0
    alert(agency, message="Fire", level="critical")
    assert send() == 1
    assert mail.mails[0]["Subject"] == "[Huntaze] 2 alerts, critical: Fire"


def test_a_digest_that_is_tried_again_is_the_same_message(agency: Tenant, hook: Receiver) -> None:
    hook.answers = [(500, {}, b""), (200, {}, b"")]
    target(agency, Channel.WEBHOOK, hook.url, digest_minutes=1)
    now = timezone.now()
    alert(agency, subject="a", now=now)
    alert(agency, subject="b", now=now)
    due = now + timedelta(minutes=1)
    send(now=due)
    alert(agency, subject="c", now=due)
    again = deliveries()[0].due_at
    send(now=max(again, due))
    first, second = hook.posts[:2]
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert Counter(each.state for each in deliveries()) == {"sent": 2, "pending": 1}


def test_workers_that_collect_one_digest_send_it_once(agency: Tenant, hook: Receiver) -> None:
    target(agency, Channel.WEBHOOK, hook.url, digest_minutes=1)
    now = timezone.now()
    for number in range(10):
        alert(agency, subject=str(number), now=now)
    at_once(8, lambda _: send(Channel.WEBHOOK, now=now + timedelta(minutes=1)))
    send(Channel.WEBHOOK, now=now + timedelta(minutes=1))
    assert len(hook.posts) == 1
    assert {each.state for each in deliveries()} == {DeliveryState.SENT}


def test_a_delivery_on_its_way_cannot_be_sent_again(everywhere: None, agency: Tenant) -> None:
    alert(agency)
    with system_transaction(), pytest.raises(ConflictError):
        service.send_again(delivery=Delivery.objects.first(), now=timezone.now())  # type: ignore[arg-type]


def test_what_was_sent_can_be_sent_again_as_another_message(agency: Tenant, hook: Receiver) -> None:
    target(agency, Channel.WEBHOOK, hook.url)
    alert(agency)
    send()
    with system_transaction():
        service.send_again(delivery=Delivery.objects.get(), now=timezone.now())
    send()
    assert len({post.headers["webhook-id"] for post in hook.posts}) == len(hook.posts) == 2
