"""Errors of the `openai` client, told apart."""

from datetime import UTC, datetime

import httpx2
import openai

from apps.ai.providers import retry_after
from apps.ai.providers.outcomes import Failure, FailureKind
from apps.costs.pricing import Usage

# What the client raises besides its own errors: for an answer that isn't one, mostly errors of JSON, and for
# the body of a refused stream that doesn't come, the transport's own.
ERRORS = (openai.APIError, httpx2.HTTPError, ValueError, RecursionError)
# Nothing has left this machine yet.
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.LocalProtocolError,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
# Behind these a gateway gave up waiting; the model may have answered all the same.
_GATEWAY_GAVE_UP = frozenset({408, 502, 504})
_TOO_LONG = frozenset({"context_length_exceeded", "string_above_max_length"})
_OUT_OF_PACE = frozenset({"429", "rate_limit_exceeded"})


def failure(error: Exception) -> Failure:
    """What became of a call that raised this, one of ERRORS."""
    if isinstance(error, openai.APIStatusError):
        return Failure(
            kind=_kind(error, error.status_code),
            message=error.message,
            retry_after=retry_after.read(error.response.headers, now=datetime.now(UTC)),
            maybe_billed=error.status_code in _GATEWAY_GAVE_UP,
        )
    if isinstance(error, openai.APIConnectionError):
        return _broken(error.__cause__ or error)
    if isinstance(error, httpx2.HTTPError):
        return _broken(error)
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIResponseValidationError):
        # Said in the course of a stream, after a 200.
        status = 429 if str(error.code) in _OUT_OF_PACE else 500
        return Failure(_kind(error, status), error.message, maybe_billed=True)
    return malformed(str(error))


def malformed(reason: str, *, usage: Usage | None = None) -> Failure:
    """An answer that can't be read."""
    message = f"unreadable answer: {reason}"
    return Failure(FailureKind.MALFORMED, message, maybe_billed=usage is None, usage=usage)


def _broken(cause: BaseException) -> Failure:
    if isinstance(cause, httpx2.LocalProtocolError):
        # Its words quote the header that can't be sent, and so a key.
        return Failure(FailureKind.CONNECTION, "the request isn't valid HTTP: look at the key that is set")
    reason = f"{type(cause).__name__}: {cause}"
    if isinstance(cause, _NEVER_SENT):
        return Failure(FailureKind.CONNECTION, reason)
    is_late = isinstance(cause, (httpx2.TimeoutException, openai.APITimeoutError))
    kind = FailureKind.TIMEOUT if is_late else FailureKind.CONNECTION
    return Failure(kind, reason, maybe_billed=True)


def _kind(error: openai.APIError, status: int) -> FailureKind:
    # Whatever JSON the provider has put there.
    code, param = str(error.code), str(error.param)
    if code == "insufficient_quota":
        # Out of credit, not out of pace: no moment later will be better.
        return FailureKind.AUTH
    if code in _TOO_LONG or (status == 400 and "maximum context length" in error.message):
        return FailureKind.CONTEXT_TOO_LONG
    if code == "content_filter":
        return FailureKind.CONTENT_FILTERED
    if status == 429:
        return FailureKind.RATE_LIMITED
    if status == 401:
        return FailureKind.AUTH
    if status == 403:
        return FailureKind.FORBIDDEN
    if status == 408:
        return FailureKind.TIMEOUT
    if status >= 500:
        return FailureKind.SERVER_ERROR
    if "response_format" in param or "response_format" in error.message:
        return FailureKind.UNSUPPORTED_FORMAT
    return FailureKind.BAD_REQUEST
