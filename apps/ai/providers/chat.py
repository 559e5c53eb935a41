"""A chat completion through the `openai` client, whole or in pieces."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import openai

from apps.ai.providers import wire
from apps.ai.providers.failures import ERRORS, failure, malformed
from apps.ai.providers.outcomes import LONGEST_NAME, Completion, Delta, Failure, FailureKind, Outcome
from apps.ai.providers.requests import streamed
from apps.ai.providers.transcript import Transcript
from apps.ai.providers.usage import chat_usage
from apps.common.punctual import limits
from apps.common.text import storable

_PATH = "/chat/completions"


def complete(client: openai.OpenAI, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    """Ask once and say what became of it; only a programming error raises."""
    try:
        answer = wire.post(client, _PATH, body, timeout=limits(timeout))
    except ERRORS as error:
        return failure(error)
    try:
        return _read(answer)
    except (AttributeError, LookupError, TypeError) as error:
        return malformed(str(error))


def stream(
    client: openai.OpenAI,
    body: Mapping[str, Any],
    *,
    timeout: timedelta,
    idle_timeout: timedelta | None = None,
) -> Iterator[Delta | Outcome]:
    """Ask once and hand on the answer as it comes; the outcome, with the whole text, is the last item.

    `timeout` limits the whole, `idle_timeout` each silence, also the one before the first piece. A failure
    before the answer begins is the one that `complete` would tell; once it has begun, a failure is
    `maybe_billed` unless the usage is known. Closing the iterator hangs up.
    """
    try:
        chunks = wire.stream(client, _PATH, streamed(body), timeout=limits(timeout, idle_timeout))
    except ERRORS as error:
        yield failure(error)
        return
    heard = Transcript()
    try:
        with chunks:
            for chunk in chunks:
                if text := heard.add(chunk):
                    yield Delta(text)
    except ERRORS as error:
        # Whoever has the whole text doesn't have to ask again because its usage was lost.
        yield heard.outcome() if heard.is_whole else heard.broken_off(failure(error))
    else:
        yield heard.outcome()


def _read(answer: object) -> Outcome:
    if not isinstance(answer, dict):
        return malformed("it isn't a completion")
    usage = chat_usage(answer.get("usage"))
    choice = (answer.get("choices") or [{}])[0]
    message = choice.get("message")
    if message is None:
        return malformed("it holds no choice", usage=usage)
    text = storable(message.get("content") or "")
    if not isinstance(text, str):
        return malformed("its content isn't a text", usage=usage)
    refusal, finish_reason = message.get("refusal"), choice.get("finish_reason")
    if finish_reason == "content_filter" or (refusal and not text):
        reason = str(refusal or "the answer was filtered")
        return Failure(FailureKind.CONTENT_FILTERED, reason, maybe_billed=usage is None, usage=usage)
    return Completion(
        text=text,
        usage=usage,
        model=str(answer.get("model") or "")[:LONGEST_NAME],
        finish_reason=str(finish_reason or "stop"),
    )
