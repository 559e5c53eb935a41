"""The gateway protocol that ONLYFANS_API_URL speaks."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from apps.messaging.gateways import client
from apps.messaging.gateways.base import (
    AskAgain,
    Dead,
    Finding,
    Found,
    HandedBack,
    LookUp,
    NoLookUp,
    NotConnected,
    NotFound,
    Outcome,
    Request,
    Sent,
    Throttled,
    Unauthorised,
    Unknown,
)

_REFUSALS = {400, 403, 404, 422}
_NO_LOOK_UP = {404, 405, 501}
# Where a 429 doesn't say when to come back.
_RETRY_AFTER = timedelta(minutes=1)
_LONGEST_ANSWER = 256 * 1024
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError)


class MalformedAnswerError(Exception):
    """An answer that isn't what the protocol says."""


class OnlyFansGateway:
    """See `Gateway`."""

    def __init__(self, *, base: str, user_agent: str) -> None:
        self._base = base.rstrip("/")
        self._user_agent = user_agent

    async def send(self, request: Request) -> Outcome:
        attempt = client.Attempt(write_by=request.write_by)
        client.attempt_in_hand.set(attempt)
        try:
            return await self._post(request)
        except client.TooLateError:
            return HandedBack()
        except MalformedAnswerError as error:
            return Unknown(reason="malformed", error=str(error))
        except _FAILURES as error:
            attempt.reset()
            if attempt.transport is None:
                return NotConnected(error=repr(error))
            if isinstance(error, TimeoutError):
                return Unknown(reason="timed_out", error=repr(error), over=False)
            return Unknown(reason="cut", error=repr(error))

    async def look_up(self, look_up: LookUp) -> Finding:
        client.attempt_in_hand.set(client.Attempt(write_by=float("inf")))
        url = self._url(f"accounts/{_quoted(look_up.account)}/messages") % {
            "idempotency_key": str(look_up.message_id)
        }
        try:
            async with client.session().get(
                url,
                headers=self._headers(look_up.credential),
                allow_redirects=False,
                timeout=client.patience(),
            ) as response:
                if response.status in _NO_LOOK_UP:
                    return NoLookUp()
                if response.status != HTTPStatus.OK:
                    return AskAgain(error=f"the look-up was answered {response.status}")
                return _finding(await _document(response))
        except (*_FAILURES, MalformedAnswerError) as error:
            return AskAgain(error=repr(error))

    async def _post(self, request: Request) -> Outcome:
        async with client.session().post(
            self._url(f"accounts/{_quoted(request.account)}/chats/{_quoted(request.recipient)}/messages"),
            json={
                "text": request.text,
                "price": None if request.price is None else f"{request.price:.2f}",
                "media": list(request.media),
            },
            headers={
                **self._headers(request.credential),
                "Idempotency-Key": str(request.message_id),
            },
            allow_redirects=False,
            timeout=client.patience(),
        ) as response:
            return await _outcome(response)

    def _url(self, path: str) -> URL:
        return URL(f"{self._base}/{path}", encoded=True)

    def _headers(self, credential: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {credential}", "User-Agent": self._user_agent}


@lru_cache(maxsize=10_000)
def _quoted(segment: str) -> str:
    return quote(segment, safe="")


async def _outcome(response: aiohttp.ClientResponse) -> Outcome:
    match response.status:
        case HTTPStatus.OK | HTTPStatus.CREATED:
            return Sent(platform_id=_id(await _document(response)))
        case HTTPStatus.UNAUTHORIZED:
            return Unauthorised(error="the platform refused the account's credential (401)")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(
                retry_after=retry_after(response.headers.get("Retry-After"), now=datetime.now(UTC))
            )
        case status if status in _REFUSALS:
            return await _refusal(response)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Unknown(reason="server_error", error=f"the platform answered {status}")
        case status:
            raise MalformedAnswerError(f"{status} is no answer of the protocol")


async def _refusal(response: aiohttp.ClientResponse) -> Dead:
    """The reason as the platform gives it; a refusal without a proper body is one all the same."""
    try:
        error = (await _document(response)).get("error")
    except MalformedAnswerError:
        error = None
    fields = error if isinstance(error, dict) else {}
    return Dead(
        reason=str(fields.get("code") or f"http_{response.status}"),
        error=str(fields.get("message") or f"the platform answered {response.status}"),
    )


async def _document(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The body as a JSON object. Raises MalformedAnswerError."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            response.close()
            raise MalformedAnswerError(f"the answer is longer than {_LONGEST_ANSWER} bytes")
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"the answer ({response.status}) is no JSON") from error
    if not isinstance(document, dict):
        raise MalformedAnswerError(f"the answer ({response.status}) is no JSON object")
    return document


def _id(message: object) -> str:
    found = message.get("id") if isinstance(message, dict) else None
    if not isinstance(found, str) or not found:
        raise MalformedAnswerError("the answer names no id")
    return found


def _finding(document: dict[str, Any]) -> Finding:
    messages = document.get("messages")
    if not isinstance(messages, list):
        raise MalformedAnswerError("the answer has no list of messages")
    return Found(platform_id=_id(messages[0])) if messages else NotFound()


def retry_after(value: str | None, *, now: datetime) -> timedelta:
    """A Retry-After header, in seconds or as a date (RFC 9110, 10.2.3); a minute if it can't be read."""
    if value is None:
        return _RETRY_AFTER
    if (digits := value.strip()).isdecimal():
        # Seven digits are weeks; more would only be clamped.
        return timedelta(seconds=int(digits[:7]))
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return _RETRY_AFTER
    return (when if when.tzinfo else when.replace(tzinfo=UTC)) - now
