"""One call of a provider: whole, in pieces, or of a text for its vector."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.ai import crowd, observation, spans
from apps.ai.providers import PROVIDERS, requests
from apps.ai.providers.outcomes import Completion, Delta, Outcome
from apps.ai.routing import Candidate
from apps.ai.services.questions import Question


@dataclass(slots=True)
class Caller:
    """Calls providers for one question. With `emit`, chat answers are handed on piece by piece.

    `seconds`: what the calls took. `began`: the present one's beginning, by the monotonic clock.
    """

    question: Question
    emit: Callable[[str], None] | None = None
    seconds: float = 0.0
    began: float = 0.0
    # Whether the caller has got a part of an answer, so that nobody else's can take its place.
    has_spoken: bool = False

    @property
    def streams(self) -> bool:
        return self.emit is not None and not self.question.embeds

    def size(self, body: Mapping[str, Any]) -> int:
        """How many bytes a body has on the wire."""
        return requests.size(requests.streamed(body) if self.streams else body)

    def call(
        self,
        candidate: Candidate,
        body: Mapping[str, Any],
        *,
        timeout: timedelta,
        silence: timedelta,
        number: int,
    ) -> Outcome:
        """Ask once; only a programming error raises. `silence` limits the waits between a stream's pieces."""
        question, self.began = self.question, time.monotonic()
        with spans.attempt(
            provider=candidate.provider,
            model=candidate.model,
            deployment=candidate.name,
            max_tokens=question.max_tokens or None,
            tenant_id=question.tenant_id,
            generation_id=question.id,
            number=number,
            operation="embeddings" if question.embeds else "chat",
        ) as span:
            with crowd.away():
                outcome = self._ask(candidate, body, timeout, silence)
            if isinstance(outcome, Completion):
                span.answered(model=outcome.model, finish_reason=outcome.finish_reason, usage=outcome.usage)
            else:
                span.failed(outcome.kind, usage=outcome.usage)
        took = time.monotonic() - self.began
        self.seconds += took
        observation.attempt_ended(
            provider=candidate.provider,
            model=candidate.model,
            outcome="ok" if isinstance(outcome, Completion) else outcome.kind,
            seconds=took,
        )
        return outcome

    def _ask(
        self, candidate: Candidate, body: Mapping[str, Any], timeout: timedelta, silence: timedelta
    ) -> Outcome:
        provider = PROVIDERS[candidate.provider]
        if self.question.embeds:
            return provider.embed(body, timeout=timeout)
        if self.emit is None:
            return provider.complete(body, timeout=timeout)
        for item in provider.stream(body, timeout=timeout, idle_timeout=silence):
            if not isinstance(item, Delta):
                return item
            self.has_spoken = True
            self.emit(item.text)
        raise RuntimeError("a stream ended without an outcome")
