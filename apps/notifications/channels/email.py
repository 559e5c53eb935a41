"""E-mail through Django, to the server of EMAIL_URL or, without one, into files under var/mail."""

import os
import smtplib
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email
from django.template.loader import render_to_string

from apps.notifications.channels.base import Envelope, Outcome, Postponed, Refused, Sent, Unknown, headline

log = structlog.get_logger(__name__)

# For one answer of the server, and for all of them together.
TIMEOUT_S = 10
WHOLE_S = 40


class _Smtp(smtplib.SMTP):
    """Knows whether the text itself may have been handed over, and can be cut off."""

    handed_over = False

    def data(self, msg: Any) -> Any:
        self.handed_over = True
        return super().data(msg)

    def cut(self) -> None:
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(2)


class _SmtpSsl(smtplib.SMTP_SSL, _Smtp):
    """The same, encrypted from the first byte."""


class _Server(EmailBackend):
    """The server of EMAIL_URL. `lines` are the connections that were begun, for the watchdog."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(**options, timeout=TIMEOUT_S)
        self.lines: list[_Smtp] = []

    @property
    def connection_class(self) -> Any:
        def connect(host: str, port: int, **options: Any) -> _Smtp:
            # Known before it connects: a server may keep silent from the first.
            line = (_SmtpSsl if self.use_ssl else _Smtp)(**options)
            self.lines.append(line)
            line._host = host  # type: ignore[attr-defined]  # what the constructor sets, for STARTTLS
            code, words = line.connect(host, port)
            if code != 220:
                line.close()
                raise smtplib.SMTPConnectError(code, words)
            return line

        return connect

    @property
    def handed_over(self) -> bool:
        return any(line.handed_over for line in self.lines)

    def _cut(self) -> None:
        for line in self.lines:
            line.cut()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """A server that trickles is cut off when the whole time is up."""
        timer = threading.Timer(WHOLE_S, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def send(envelope: Envelope) -> Outcome:
    try:
        validate_email(envelope.address.place)
        message = compose(envelope)
    except (ValidationError, ValueError):
        return Refused("This is no e-mail address.")
    if settings.MAIL_SERVER is None:
        return _keep(envelope.id, message)
    server = _Server(settings.MAIL_SERVER)
    try:
        with server.watched():
            server.open()
            server.send_messages([message])
    except (smtplib.SMTPException, OSError) as error:
        return _judge(error, handed_over=server.handed_over)
    finally:
        # What it says when we take leave changes nothing any more.
        with suppress(smtplib.SMTPException, OSError):
            server.close()
    return Sent()


def compose(envelope: Envelope) -> EmailMultiAlternatives:
    context = {"envelope": envelope, "headline": headline(envelope)}
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"
    message = EmailMultiAlternatives(
        subject=headline(envelope),
        body=render_to_string("email/alerts.txt", context),
        to=[envelope.address.place],
        headers={
            "Message-ID": f"<{envelope.id}@{domain}>",
            # No holiday notice answers it (RFC 3834).
            "Auto-Submitted": "auto-generated",
        },
    )
    message.attach_alternative(render_to_string("email/alerts.html", context), "text/html")
    return message


def kept_mail(envelope_id: UUID) -> Path:
    """Where a message is that no server was there for."""
    return settings.MAIL_FOLDER / f"{envelope_id}.eml"


def _keep(envelope_id: UUID, message: EmailMultiAlternatives) -> Outcome:
    """Whole or not at all, and one file however often it is tried."""
    try:
        settings.MAIL_FOLDER.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=settings.MAIL_FOLDER)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.message().as_bytes())
        os.replace(draft, kept_mail(envelope_id))
    except OSError as error:
        return Postponed(f"{settings.MAIL_FOLDER} can't be written: {error.strerror}.")
    return Sent()


def _judge(error: smtplib.SMTPException | OSError, *, handed_over: bool) -> Outcome:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code, words = next(iter(error.recipients.values()))
            return _answered(code, words, "the address")
        case smtplib.SMTPSenderRefused():
            return _answered(error.smtp_code, error.smtp_error, "the sender, SES_FROM_EMAIL,")
        case smtplib.SMTPDataError():
            return _answered(error.smtp_code, error.smtp_error, "the message")
        case smtplib.SMTPNotSupportedError():
            return Refused(f"The mail server can't do what this needs: {error}.")
        case smtplib.SMTPResponseException():
            # Our log-in or greeting: once EMAIL_URL is mended, this goes out.
            return Postponed(_words(error.smtp_code, error.smtp_error, "us"))
        case ssl.SSLError():
            return Postponed(f"No safe connection to the mail server: {error.reason}.")
    if handed_over:
        return Unknown("The mail server took the message and didn't say whether it keeps it.")
    return Postponed(f"The mail server doesn't answer: {error}.")


def _answered(code: int, words: bytes | str, what: str) -> Outcome:
    said = _words(code, words, what)
    return Refused(said) if code >= 500 else Postponed(said)


def _words(code: int, words: bytes | str, what: str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"The mail server refuses {what}: {code} {' '.join(text.split())[:300]}"
