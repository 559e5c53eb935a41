"""Signed webhooks, as standardwebhooks.com has them; docs/alerts.md shows how to check one."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from uuid import UUID

from apps.notifications.channels import http
from apps.notifications.channels.base import Envelope, Letter, Outcome, Postponed, Refused, Unknown

_PREFIX = "whsec_"


def make_signing_key() -> str:
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def read_signing_key(text: str) -> bytes:
    """The key's bytes. Raises ValueError unless it is `whsec_` and 24 to 64 bytes in base64."""
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except ValueError:  # also binascii's
        key = b""
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("A signing key is whsec_ and 24 to 64 bytes in base64.")
    return key


def sign(*, key: str, message_id: UUID, timestamp: int, body: bytes) -> str:
    """The header webhook-signature: over id, time and body, so none of them can be exchanged."""
    signed = b".".join([str(message_id).encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.digest(read_signing_key(key), signed, hashlib.sha256)).decode()


def send(envelope: Envelope) -> Outcome:
    body = json.dumps(_document(envelope), ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = int(time.time())
    try:
        signature = sign(key=envelope.address.key, message_id=envelope.id, timestamp=timestamp, body=body)
    except ValueError as error:
        return Refused(f"It can't be signed. {error}")
    answer = http.post(
        envelope.address.place,
        content=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "Huntaze/2",
            "webhook-id": str(envelope.id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature,
        },
    )
    if isinstance(answer, Unknown):
        # Whoever receives webhooks knows them by their ids: another try does no harm.
        return Postponed(answer.reason)
    return http.judge(answer) if isinstance(answer, http.Answer) else answer


def _document(envelope: Envelope) -> dict[str, object]:
    """The same at each try, since its id is."""
    return {
        "type": "alerts",
        "agency": envelope.tenant_name or None,
        "alerts": [_alert(letter) for letter in envelope.letters],
    }


def _alert(letter: Letter) -> dict[str, object]:
    return {
        "id": str(letter.id),
        "rule": letter.rule,
        "level": letter.level,
        "subject": letter.subject,
        "period": letter.period,
        "message": letter.message,
        "data": letter.data,
        "raised_at": letter.raised_at.isoformat(),
    }
