"""Whoever dies on the way: what was handed over is made up for once, and what is left says so."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.notifications.channels.base import Postponed, Refused, Sent, Unknown
from apps.notifications.models import Channel, DeliveryState
from apps.notifications.services import deliveries as service
from apps.notifications.services import sending
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.killing import KilledError
from tests.notifications.alerting import alert, delivery, send
from tests.notifications.receivers import MailServer, Receiver
from tests.services import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = service.LEASE


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
