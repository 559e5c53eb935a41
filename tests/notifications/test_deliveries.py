"""Deliveries: once, whoever crowds; again, whoever dies."""

import threading
from collections import Counter
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from apps.common.errors import ConflictError
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
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 32
LEASE = service.LEASE


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
