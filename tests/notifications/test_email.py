"""E-mail, against a mail server that behaves and one that doesn't."""

import html
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.common.ids import uuid7
from apps.notifications.channels import email as channel
from apps.notifications.models import Channel, DeliveryState
from apps.notifications.services.alerts import raise_alert
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.described import paths
from tests.notifications.alerting import alert, delivery, send, target
from tests.notifications.receivers import MailServer

pytestmark = pytest.mark.django_db(transaction=True)

ADA = "ada@agency.example"


@pytest.fixture(autouse=True)
def _ada_wants_mail(agency: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA)


def test_an_alert_arrives_as_text_and_html(mail: MailServer, agency: Tenant) -> None:
    alert(agency, message="Naïve café: 80 % of <b>50 €</b> 🎉", level="critical")

    assert send() == 1

    (message,) = mail.mails
    assert message["To"] == ADA
    assert message["From"] == "alerts@huntaze.example"
    assert message["Subject"].strip() == "[Huntaze] critical: Naïve café: 80 % of <b>50 €</b> 🎉"
    assert message["Auto-Submitted"] == "auto-generated"
    text, rich = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert rich is not None
    assert "80 % of <b>50 €</b> 🎉" in text.get_content()
    assert "Ada's agency" in text.get_content()
    assert "&lt;b&gt;50 €&lt;/b&gt;" in rich.get_content()
    sent = delivery()
    assert (sent.state, sent.attempts, sent.error) == (DeliveryState.SENT, 1, "")
    assert message["Message-ID"] == f"<{sent.envelope_id}@huntaze.example>"


def test_a_mail_says_what_it_is_about_and_what_its_reader_can_do(mail: MailServer, agency: Tenant) -> None:
    budget = str(uuid7())
    made = alert(agency, rule="budget_threshold", subject=budget)
    assert made is not None

    send()

    (message,) = mail.mails
    assert budget not in message["Subject"]
    operations = {each["operationId"] for path in paths().values() for each in path.values()}
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        words = html.unescape(body.get_content())
        assert f"budget {budget}" in words
        assert str(made.pk) in words
        assert set(re.findall(r"\w+_alert\b", words)) == {"acknowledge_alert", "mute_alert"} <= operations
        # The admin is the operators', and nobody knows under which host this installation is reached.
        assert "admin" not in words
        assert "/api/" not in words


def test_a_mail_of_the_platforms_points_to_the_admin(
    mail: MailServer,
) -> None:
    target(None, Channel.EMAIL, "sre@huntaze.example")
    with system_transaction():
        raise_alert(tenant_id=None, rule="dead_letter", subject="tasks.ai.x", message="x", now=timezone.now())
    send()
    for part in mail.mails[0].iter_parts():
        assert "task tasks.ai.x" in part.get_content()
        assert "_alert" not in part.get_content()
        assert "in the admin." in part.get_content()


def test_a_line_break_in_an_alert_makes_no_header(mail: MailServer, agency: Tenant) -> None:
    alert(agency, message="Oops\r\nBcc: eve@stranger.example\r\n\r\nbody\u2028x\x00y\x1b\u202ez")
    send()
    (message,) = mail.mails
    assert message["Bcc"] is None
    assert message["Subject"].startswith("[Huntaze] warning: Oops Bcc: eve@stranger.example body xy z")
    assert delivery().state == DeliveryState.SENT


def test_a_long_message_has_a_short_subject(mail: MailServer, agency: Tenant) -> None:
    alert(agency, message="é" * 5000)
    send()
    assert len(mail.mails[0]["Subject"].strip()) == 150


@pytest.mark.parametrize("code", ["550 5.1.1 no such user", "553 bad address", "501 what?"])
def test_an_address_that_is_refused_fails_at_once_and_says_why(
    code: str, mail: MailServer, agency: Tenant
) -> None:
    mail.refuse = code
    alert(agency)
    send()
    found = delivery()
    assert (found.state, found.attempts) == (DeliveryState.FAILED, 1)
    assert code in found.error
    assert send(now=timezone.now() + timedelta(days=2)) == 0


def test_what_is_deferred_is_tried_again_with_the_same_message_id(mail: MailServer, agency: Tenant) -> None:
    mail.refuse = "450 4.2.0 greylisted"
    alert(agency)
    send()
    found = delivery()
    assert (found.state, found.attempts, found.interruptions) == (DeliveryState.PENDING, 1, 0)
    assert "greylisted" in found.error
    mail.refuse = ""

    send(now=found.due_at)

    assert delivery().state == DeliveryState.SENT
    assert str(found.envelope_id) in mail.mails[0]["Message-ID"]


def test_the_text_may_be_refused_too(mail: MailServer, agency: Tenant) -> None:
    mail.reply = "554 5.7.1 looks like spam"
    alert(agency)
    send()
    assert delivery().state == DeliveryState.FAILED
    assert "refuses the message: 554" in delivery().error


def test_a_server_that_drops_before_the_text_is_tried_for_a_day(agency: Tenant, settings: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.MAIL_SERVER = _at(closed.getsockname()[1])
        alert(agency)
        now, tries = timezone.now(), 0
        ends = now + timedelta(days=1, minutes=5)
        waits = []
        while delivery().state == DeliveryState.PENDING:
            tries += send(now=now)
            waits.append(delivery().due_at - now)
            now = max(delivery().due_at, now)
            assert now < ends
    found = delivery()
    assert found.state == DeliveryState.FAILED
    assert found.error.startswith(
        f"Given up after {tries} attempts. The last: The mail server doesn't answer"
    )
    assert found.interruptions == 0
    assert 12 <= tries <= 60
    assert max(waits) <= timedelta(hours=2)
    assert sum(wait < timedelta(minutes=1) for wait in waits[:2]) == 2


def test_a_server_that_drops_after_the_text_is_asked_once_more(mail: MailServer, agency: Tenant) -> None:
    mail.reply = "drop"
    alert(agency)
    send()
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, 1)

    send(now=found.due_at)

    failed = delivery()
    assert (failed.state, failed.attempts, failed.envelope_id) == ("failed", 2, found.envelope_id)
    assert "may have arrived" in failed.error


def _at(port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "username": "",
        "password": "",
        "use_tls": False,
        "use_ssl": False,
    }


@contextmanager
def silent_server(greeting: bytes, *, every: float = 0.05) -> Iterator[int]:
    """It accepts connections and says this, again and again, or nothing."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as line:
                while not over.wait(every):
                    try:
                        line.sendall(greeting)
                    except OSError:
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        thread.join(5)


@pytest.mark.parametrize(("greeting", "patience", "whole"), [(b"", 0.3, 30), (b"220-wait\r\n", 30, 0.5)])
def test_a_server_that_hangs_or_trickles_is_left(
    greeting: bytes,
    patience: float,
    whole: float,
    agency: Tenant,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel, "TIMEOUT_S", patience)
    monkeypatch.setattr(channel, "WHOLE_S", whole)
    with silent_server(greeting) as port:
        settings.MAIL_SERVER = _at(port)
        alert(agency)
        began = timezone.now()
        send()
    assert timezone.now() - began < timedelta(seconds=10)
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, 0)
    assert "doesn't answer" in found.error


def test_an_address_that_is_none_fails_at_once(mail: MailServer, agency: Tenant) -> None:
    target(agency, Channel.EMAIL, "ada@x.example\r\nBcc: eve@stranger.example", name="odd")
    alert(agency)
    send()
    assert delivery(target__contains="Bcc").error == "This is no e-mail address."
    assert len(mail.mails) == 1


def test_without_a_server_mail_goes_to_files(agency: Tenant, settings: Any, tmp_path: Path) -> None:
    settings.MAIL_SERVER, settings.MAIL_FOLDER = None, tmp_path / "mail"
    alert(agency)
    send()
    found = delivery()
    assert found.state == DeliveryState.SENT
    assert found.envelope_id is not None
    kept = channel.kept_mail(found.envelope_id)
    assert list(settings.MAIL_FOLDER.iterdir()) == [kept]
    assert "More than $50." in kept.read_text()


def test_files_that_cannot_be_written_are_tried_again(agency: Tenant, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("in the way")
    settings.MAIL_SERVER, settings.MAIL_FOLDER = None, tmp_path / "mail"
    alert(agency)
    send()
    assert "can't be written" in delivery().error
    assert delivery().state == DeliveryState.PENDING
