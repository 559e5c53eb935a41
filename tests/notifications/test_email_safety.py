"""Mail servers that want a safe connection, or to know who we are."""

import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from apps.notifications.models import Channel, DeliveryState
from apps.tenants.models import Tenant
from tests.notifications.alerting import alert, delivery, send, target
from tests.notifications.receivers import MailServer, mail_server

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # It is on this machine, and of this test.
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """One that “localhost” signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = timezone.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


@pytest.fixture(params=["starttls", "encrypted"])
def safe_mail(
    request: pytest.FixtureRequest, certificate: tuple[Path, ssl.SSLContext], settings: Any
) -> Iterator[MailServer]:
    context = certificate[1]
    starttls = request.param == "starttls"
    options = {"tls_context": context, "require_starttls": True} if starttls else {"ssl_context": context}
    with mail_server(**options) as server:
        settings.MAIL_SERVER = {
            "host": "localhost",
            "port": server.port,
            "username": "",
            "password": "",
            "use_tls": starttls,
            "use_ssl": not starttls,
        }
        yield server


def test_a_certificate_that_nobody_trusts_gets_no_mail(safe_mail: MailServer, agency: Tenant) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    alert(agency)
    send()
    assert safe_mail.mails == []
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, 0)
    assert found.error.startswith("No safe connection to the mail server")


def test_one_that_is_trusted_does(
    safe_mail: MailServer,
    certificate: tuple[Path, ssl.SSLContext],
    agency: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    target(agency, Channel.EMAIL, "ada@agency.example")
    alert(agency)
    send()
    assert delivery().error == ""
    assert len(safe_mail.mails) == 1


@pytest.mark.parametrize("right", [True, False])
def test_a_refused_log_in_is_tried_again_when_it_may_have_been_mended(
    right: bool, agency: Tenant, settings: Any
) -> None:
    asked = threading.Event()

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        asked.set()
        return AuthResult(success=right, handled=right)

    with mail_server(authenticator=authenticate, auth_require_tls=False, auth_required=True) as server:
        settings.MAIL_SERVER = {
            "host": "127.0.0.1",
            "port": server.port,
            "username": "ada",
            "password": "hush",
            "use_tls": False,
            "use_ssl": False,
        }
        target(agency, Channel.EMAIL, "ada@agency.example")
        alert(agency)
        send()
    assert asked.is_set()
    found = delivery()
    assert found.state == (DeliveryState.SENT if right else DeliveryState.PENDING)
    assert ("refuses us: 535" in found.error) is not right
    assert "hush" not in found.error
