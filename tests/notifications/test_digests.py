"""Several alerts in one message."""

import json
from collections import Counter
from datetime import timedelta
from threading import Barrier, Event

import pytest
from django.utils import timezone

from apps.notifications.models import Channel, Delivery, DeliveryState, NotificationTarget
from apps.notifications.services import deliveries as service
from apps.notifications.services.alerts import mute_alert
from apps.notifications.services.deliveries import IN_A_DIGEST
from apps.notifications.services.targets import test_target as send_test
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.costs.threads import a_lock_is_waited_for, at_once
from tests.notifications.alerting import alert, deliveries, delivery, send, target
from tests.notifications.receivers import MailServer, Receiver
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_a_critical_alert_is_in_the_message_that_it_sends_however_many_wait(
    agency: Tenant, hook: Receiver
) -> None:
    """And other critical ones with it, before the oldest of the rest."""
    target(agency, Channel.WEBHOOK, hook.url, digest_minutes=30)
    for number in range(IN_A_DIGEST + 3):
        alert(agency, subject=f"small {number}")
    for subject in ("fire", "flood"):
        alert(agency, subject=subject, level="critical")

    assert send() == 1

    subjects = [each["subject"] for each in json.loads(hook.posts[0].body)["alerts"]]
    assert subjects == [*(f"small {number}" for number in range(IN_A_DIGEST - 2)), "fire", "flood"]
    assert Counter(each.state for each in deliveries()) == {"sent": IN_A_DIGEST, "pending": 5}


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


def test_workers_that_begin_with_two_alerts_of_one_message_do_not_wait_in_a_circle(
    agency: Tenant, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.answers = [(500, {}, b"")]
    target(agency, Channel.WEBHOOK, hook.url, digest_minutes=1)
    now = timezone.now()
    for subject in ("a", "b"):
        alert(agency, subject=subject, now=now)
    assert send(now=now + timedelta(minutes=1)) == 1
    again, both_have_one, together = deliveries()[0].due_at, Barrier(2), service._together

    def meet(first: Delivery) -> list[Delivery]:
        both_have_one.wait(10)
        return together(first)

    with monkeypatch.context() as patch:
        patch.setattr(service, "_together", meet)
        claims = at_once(2, lambda _: service.claim(channel=Channel.WEBHOOK, now=again))
    claims.append(service.claim(channel=Channel.WEBHOOK, now=again))  # if both have given way

    assert [len(each.delivery_ids) for each in claims if each] == [2]


def test_a_mute_holds_nothing_while_it_waits_for_whoever_collects(agency: Tenant, hook: Receiver) -> None:
    """Or each might wait for rows that the other has."""
    found = target(agency, Channel.WEBHOOK, hook.url, digest_minutes=1)
    now = timezone.now()
    muted, _ = (alert(agency, period=period, now=now) for period in ("2026-03-01", "2026-03-02"))
    assert muted is not None
    is_collecting = Event()

    def mute() -> int:
        assert is_collecting.wait(10)
        with system_transaction():
            return mute_alert(alert=muted, until=now + timedelta(days=1), now=now)

    def collect() -> int:
        with system_transaction():
            NotificationTarget.objects.select_for_update(no_key=True).get(pk=found.pk)
            is_collecting.set()
            wait_until(a_lock_is_waited_for, seconds=10, what="the mute to wait", every=0.02)
            return len(Delivery.objects.select_for_update(nowait=True))

    assert at_once(2, lambda index: collect() if index else mute()) == [2, 2]
    assert {each.state for each in deliveries()} == {DeliveryState.MUTED}


def test_a_test_leaves_a_digest_its_time_and_its_patience(agency: Tenant, hook: Receiver) -> None:
    found = target(agency, Channel.WEBHOOK, hook.url, digest_minutes=30)
    now = timezone.now()
    alert(agency, now=now)
    with system_transaction():
        send_test(target=found, now=now)
    assert send(now=now) == 1
    assert delivery(alert__rule="test").state == DeliveryState.SENT
    assert delivery(alert__rule="daily_cost").state == DeliveryState.PENDING


def test_a_critical_alert_does_not_take_a_test_along(agency: Tenant, hook: Receiver) -> None:
    found = target(agency, Channel.WEBHOOK, hook.url, digest_minutes=30)
    now = timezone.now()
    alert(agency, now=now, level="critical")
    with system_transaction():
        send_test(target=found, now=now + timedelta(seconds=1))
    assert send(now=now + timedelta(seconds=1)) == 2
