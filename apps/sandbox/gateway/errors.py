"""What a message must look like, and how the gateway refuses one."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from apps.sandbox.server import json_response

MAX_TEXT = 10_000
MAX_KEY = 255
_PRICE = re.compile(r"\d{1,6}\.\d{2}")

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "recipient_not_found",
    422: "invalid_message",
    429: "rate_limited",
    503: "unavailable",
}


@dataclass(eq=False)
class Refusal(Exception):
    """An answer other than 200 or 201."""

    status: int
    code: str
    message: str
    retry_after: int | None = None

    def response(self) -> web.Response:
        headers = None if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return json_response(
            {"error": {"code": self.code, "message": self.message}}, status=self.status, headers=headers
        )


def refusal_of_fault(status: int, retry_after: int | None) -> Refusal:
    """The refusal that a fault asks for; a 429 always says when to come back."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS and retry_after is None:
        retry_after = 1
    return Refusal(status, _CODES.get(status, "error"), f"{phrase} (a fault on request)", retry_after)


def message_text(body: dict[str, Any] | None) -> str:
    """The text of a valid message body. Raises Refusal."""
    if body is None:
        raise Refusal(400, "bad_request", "the body must be a JSON object")
    text, price, media = body.get("text"), body.get("price"), body.get("media", [])
    if not isinstance(text, str) or not text.strip():
        raise _invalid("text must be a text that isn't empty")
    if len(text) > MAX_TEXT:
        raise _invalid(f"text must not be longer than {MAX_TEXT} characters")
    if price is not None and not (isinstance(price, str) and _PRICE.fullmatch(price)):
        raise _invalid('price must be null or a text like "12.00"')
    if not isinstance(media, list) or not all(isinstance(item, str) and item for item in media):
        raise _invalid("media must be a list of texts")
    return text


def _invalid(message: str) -> Refusal:
    return Refusal(422, "invalid_message", message)
