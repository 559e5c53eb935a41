"""What the gateway is sent: the arrival of a POST, and what a valid message looks like."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from apps.sandbox.gateway.errors import GatewayError
from apps.sandbox.gateway.ledger import Arrival, Outcome

MAX_TEXT = 10_000
MAX_KEY = 255
_PRICE = re.compile(r"\d{1,6}\.\d{2}")


@dataclass(frozen=True, slots=True)
class Post:
    """A POST whose body has been read, valid or not; `at` by the gateway's clock."""

    at: float
    account: str
    recipient: str
    key: str
    text_hash: str

    def arrival(self, outcome: Outcome, *, status: int, message_id: str | None = None) -> Arrival:
        """What the ledger keeps of it."""
        return Arrival(
            at=self.at,
            account=self.account,
            recipient=self.recipient,
            key=self.key[:MAX_KEY],
            text_hash=self.text_hash,
            outcome=outcome,
            status=status,
            accepted=outcome is Outcome.ACCEPTED,
            message_id=message_id,
        )


def hash_text(text: object) -> str:
    """A hash by which equal texts are recognised; empty for what is no text."""
    if not isinstance(text, str):
        return ""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def check_key(key: str) -> None:
    """Raises GatewayError if an idempotency key is missing or too long."""
    if not key:
        raise GatewayError(400, "idempotency_key_missing", "an idempotency key is required")
    if len(key) > MAX_KEY:
        raise GatewayError(400, "idempotency_key_too_long", f"a key has at most {MAX_KEY} characters")


def check_message(body: dict[str, Any] | None) -> None:
    """Raises GatewayError if a body is no message."""
    if body is None:
        raise GatewayError(400, "bad_request", "the body must be a JSON object")
    text, price, media = body.get("text"), body.get("price"), body.get("media", [])
    if not isinstance(text, str) or not text.strip():
        raise _invalid("text must be a text that isn't empty")
    if len(text) > MAX_TEXT:
        raise _invalid(f"text must not be longer than {MAX_TEXT} characters")
    if price is not None and not (isinstance(price, str) and _PRICE.fullmatch(price)):
        raise _invalid('price must be null or a text like "12.00"')
    if not isinstance(media, list) or not all(isinstance(item, str) and item for item in media):
        raise _invalid("media must be a list of texts")


def _invalid(message: str) -> GatewayError:
    return GatewayError(422, "invalid_message", message)
