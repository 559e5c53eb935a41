"""A chat completion through the `openai` client, whole or in pieces."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import openai
from openai import Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.ai.providers.connections import limits
from apps.ai.providers.failures import ERRORS, failure, malformed
from apps.ai.providers.outcomes import LONGEST_NAME, Completion, Delta, Failure, FailureKind, Outcome
from apps.ai.providers.requests import streamed
from apps.ai.providers.transcript import Transcript
from apps.ai.providers.usage import chat_usage
from apps.common.text import storable

_PATH = "/chat/completions"


def complete(client: openai.OpenAI, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    """Ask once and say what became of it; only a programming error raises."""
    try:
        # Posted as it is: `create` would first go through every node of the body and of its schema, to turn
        # Python's names into the wire's, which ours has already. That is a quarter of a call's time.
        answer: object = client.post(
            _PATH, body=body, cast_to=ChatCompletion, options={"timeout": limits(timeout)}
        )
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
        chunks = client.post(
            _PATH,
            body=streamed(body),
            cast_to=ChatCompletion,
            options={"timeout": limits(timeout, idle_timeout)},
            stream=True,
            stream_cls=Stream[ChatCompletionChunk],
        )
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
    # The client checks nothing: a field may be missing or of another type, or the whole be text.
    if not isinstance(answer, ChatCompletion):
        return malformed("it isn't a completion")
    usage = chat_usage(answer.usage)
    choice = answer.choices[0] if answer.choices else None
    if choice is None or choice.message is None:
        return malformed("it holds no choice", usage=usage)
    text = storable(choice.message.content or "")
    if not isinstance(text, str):
        return malformed("its content isn't a text", usage=usage)
    if choice.finish_reason == "content_filter" or (choice.message.refusal and not text):
        reason = str(choice.message.refusal or "the answer was filtered")
        return Failure(FailureKind.CONTENT_FILTERED, reason, maybe_billed=usage is None, usage=usage)
    return Completion(
        text=text,
        usage=usage,
        model=str(answer.model or "")[:LONGEST_NAME],
        finish_reason=choice.finish_reason or "stop",
    )
