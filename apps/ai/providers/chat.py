"""One chat completion through the `openai` client, its errors told apart."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion

from apps.ai.providers import retry_after
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.common.text import storable
from apps.costs.pricing import Usage

# Nothing has left this machine yet.
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
# Behind these a gateway gave up waiting; the model may have answered all the same.
_GATEWAY_GAVE_UP = frozenset({408, 502, 504})
_CONNECT = timedelta(seconds=5)
# What the columns hold.
_MOST_TOKENS = 2**31 - 1
_LONGEST_NAME = 100


def complete(client: openai.OpenAI, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    """Ask once and say what became of it; only a programming error raises."""
    limit = httpx2.Timeout(timeout.total_seconds(), connect=min(timeout, _CONNECT).total_seconds())
    try:
        answer: object = client.chat.completions.create(**body, timeout=limit)
    except openai.APIStatusError as error:
        return _refusal(error)
    except openai.APIConnectionError as error:
        return _broken(error)
    except (openai.APIResponseValidationError, ValueError) as error:
        return _malformed(str(error))
    try:
        return _read(answer)
    except (AttributeError, LookupError, TypeError) as error:
        return _malformed(str(error))


def _read(answer: object) -> Outcome:
    # The client checks nothing: a field may be missing or of another type, or the whole be text.
    if not isinstance(answer, ChatCompletion):
        return _malformed("it isn't a completion")
    usage = _usage(answer)
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None:
        return _malformed("it holds no choice", usage=usage)
    text = storable(choice.message.content or "")
    if not isinstance(text, str):
        return _malformed("its content isn't a text", usage=usage)
    if choice.finish_reason == "content_filter" or (choice.message.refusal and not text):
        reason = str(choice.message.refusal or "the answer was filtered")
        return Failure(FailureKind.CONTENT_FILTERED, reason, maybe_billed=usage is None, usage=usage)
    return Completion(
        text=text,
        usage=usage,
        model=str(answer.model or "")[:_LONGEST_NAME],
        finish_reason=choice.finish_reason or "stop",
    )


def _usage(answer: ChatCompletion) -> Usage | None:
    counted = answer.usage
    if counted is None:
        return None
    try:
        details = counted.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        tokens = counted.prompt_tokens, counted.completion_tokens, cached
        if not all(type(number) is int and number <= _MOST_TOKENS for number in tokens):
            return None
        return Usage(*tokens)
    except (AttributeError, TypeError, ValueError):
        return None


def _malformed(reason: str, *, usage: Usage | None = None) -> Failure:
    return Failure(
        FailureKind.MALFORMED, f"unreadable answer: {reason}", maybe_billed=usage is None, usage=usage
    )


def _broken(error: openai.APIConnectionError) -> Failure:
    cause = error.__cause__
    reason = f"{type(cause).__name__}: {cause}" if cause else error.message
    if isinstance(cause, _NEVER_SENT):
        return Failure(FailureKind.CONNECTION, reason)
    kind = FailureKind.TIMEOUT if isinstance(error, openai.APITimeoutError) else FailureKind.CONNECTION
    return Failure(kind, reason, maybe_billed=True)


def _refusal(error: openai.APIStatusError) -> Failure:
    return Failure(
        kind=_kind(error),
        message=error.message,
        retry_after=retry_after.read(error.response.headers, now=datetime.now(UTC)),
        maybe_billed=error.status_code in _GATEWAY_GAVE_UP,
    )


def _kind(error: openai.APIStatusError) -> FailureKind:
    status, code = error.status_code, error.code
    if status == 429:
        # Out of credit, not out of pace: no moment later will be better.
        return FailureKind.AUTH if code == "insufficient_quota" else FailureKind.RATE_LIMITED
    if status in (401, 403):
        return FailureKind.AUTH
    if status == 408:
        return FailureKind.TIMEOUT
    if status >= 500:
        return FailureKind.SERVER_ERROR
    if code == "context_length_exceeded":
        return FailureKind.CONTEXT_TOO_LONG
    if code == "content_filter":
        return FailureKind.CONTENT_FILTERED
    if "response_format" in (error.param or "") or "response_format" in error.message:
        return FailureKind.UNSUPPORTED_FORMAT
    return FailureKind.BAD_REQUEST
