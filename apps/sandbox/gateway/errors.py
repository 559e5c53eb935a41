"""How the gateway refuses."""

from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

from apps.sandbox.retry_after import RetryAfter
from apps.sandbox.server import json_response

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
class GatewayError(Exception):
    """An answer other than 200 or 201."""

    status: int
    code: str
    message: str
    retry_after: RetryAfter = field(default_factory=RetryAfter)

    def response(self) -> web.Response:
        error = {"code": self.code, "message": self.message}
        return json_response({"error": error}, status=self.status, headers=self.retry_after.headers())


def error_of_fault(status: int, retry_after: RetryAfter) -> GatewayError:
    """The refusal that a fault asks for; a 429 always says when to come back."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        retry_after = retry_after.or_seconds(1)
    return GatewayError(status, _CODES.get(status, "error"), f"{phrase} (a fault on request)", retry_after)
