"""What has been heard of a streamed answer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from apps.ai.providers.failures import malformed
from apps.ai.providers.outcomes import LONGEST_NAME, Completion, Failure, FailureKind, Outcome
from apps.ai.providers.usage import chat_usage
from apps.common.text import storable
from apps.costs.pricing import Usage


class Transcript:
    """Takes chunks as they come, and says at the end what the answer was."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._finish_reason = ""
        self._model = ""
        self._usage: Usage | None = None
        self._began = False

    def add(self, chunk: object) -> str:
        """The text that it adds, often none. Raises ValueError if it makes no sense."""
        try:
            if isinstance(chunk, dict):
                return self._add(chunk)
        except (AttributeError, LookupError, TypeError) as error:
            raise ValueError(str(error)) from error
        raise ValueError("it isn't a chunk of a completion")

    def outcome(self) -> Outcome:
        """What the answer was, once its stream has ended."""
        if not self._finish_reason:
            if not self._began:
                return self.broken_off(malformed("the stream holds no choice"))
            return self.broken_off(Failure(FailureKind.CONNECTION, "the stream ended before its answer"))
        refusal = "".join(self._refusals)
        if self._finish_reason == "content_filter" or (refusal and not self._texts):
            reason = refusal or "the answer was filtered"
            return self.broken_off(Failure(FailureKind.CONTENT_FILTERED, reason))
        return Completion(
            text="".join(self._texts),
            usage=self._usage,
            model=self._model,
            finish_reason=self._finish_reason,
        )

    def broken_off(self, failure: Failure) -> Failure:
        """This failure, with what is known by now of text and usage."""
        usage = self._usage
        return replace(failure, usage=usage, maybe_billed=usage is None, partial="".join(self._texts))

    @property
    def is_whole(self) -> bool:
        """Whether the answer has come to its end, though perhaps not its usage."""
        return bool(self._finish_reason)

    def _add(self, chunk: Mapping[str, Any]) -> str:
        # At Azure, what the filter found comes in chunks with no choices, or choices with no delta.
        self._model = str(chunk.get("model") or self._model)[:LONGEST_NAME]
        self._usage = chat_usage(chunk.get("usage")) or self._usage
        choices = chunk.get("choices")
        if not choices:
            return ""
        self._began = True
        self._finish_reason = str(choices[0].get("finish_reason") or self._finish_reason)
        delta = choices[0].get("delta")
        if delta is None:
            return ""
        self._refusals.append(str(delta.get("refusal") or ""))
        text = storable(delta.get("content") or "")
        if not isinstance(text, str):
            raise TypeError("its content isn't a text")
        if text:
            self._texts.append(text)
        return text
