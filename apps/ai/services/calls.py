"""One call of a provider: whole, in pieces, or of a text for its vector."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx2

from apps.ai import crowd, observation, spans
from apps.ai.allowance import TOO_LATE
from apps.ai.providers import PROVIDERS, departure, requests
from apps.ai.providers.outcomes import Completion, Delta, Failure, Outcome
from apps.ai.routing import Candidate
from apps.ai.services.questions import Question


@dataclass(frozen=True, slots=True)
class Times:
    """When a request went out, and when its outcome came, by the monotonic clock; `began` until it has."""

    began: float
    ended: float


@dataclass(slots=True)
class Caller:
    """Calls providers for one question. With `emit`, chat answers are handed on piece by piece.

    `seconds`: what the calls took. `times`: of the present one; None if its request hasn't gone out.
    """

    question: Question
    emit: Callable[[str], None] | None = None
    seconds: float = 0.0
    times: Times | None = None
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
        leave: Callable[[], object],
    ) -> Outcome:
        """Ask once. `silence` limits the waits between a stream's pieces.

        `leave` is called when the request is ready to go, perhaps again. What it raises is raised here, and
        nothing goes out; nor does it if leave comes so late that there is no time for an answer. Otherwise
        only a programming error raises.
        """
        question, self.times = self.question, None
        patience = (timeout - min(timeout / 2, TOO_LATE)).total_seconds()
        with ExitStack() as stack:
            span: spans.AttemptSpan | None = None

            def go() -> None:
                nonlocal span
                ready_at = time.monotonic()
                leave()
                if span is None:  # otherwise it is redirected
                    if time.monotonic() - ready_at > patience:
                        raise httpx2.TimeoutException("leave to ask came too late")
                    # Not before: whoever waits for a place again must hold no connection.
                    stack.enter_context(crowd.away())
                    began = time.monotonic()
                    self.times = Times(began, began)
                    span = stack.enter_context(
                        spans.attempt(
                            provider=candidate.provider,
                            model=candidate.model,
                            deployment=candidate.name,
                            max_tokens=question.max_tokens or None,
                            tenant_id=question.tenant_id,
                            generation_id=question.id,
                            number=number,
                            operation="embeddings" if question.embeds else "chat",
                        )
                    )

            with departure.needs(go):
                outcome = self._ask(candidate, body, timeout, silence)
                if self.times is None or span is None:
                    # Refused or too late, which the client took for a failure; or it failed before it asked.
                    leave()
                    return _never_sent(outcome)
            self.times = replace(self.times, ended=time.monotonic())
            if isinstance(outcome, Completion):
                span.answered(model=outcome.model, finish_reason=outcome.finish_reason, usage=outcome.usage)
            else:
                span.failed(outcome.kind, usage=outcome.usage)
        took = self.times.ended - self.times.began
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


def _never_sent(outcome: Outcome) -> Failure:
    if not isinstance(outcome, Failure):
        raise RuntimeError("a provider was called without leave")
    return replace(outcome, maybe_billed=False, message=f"the request couldn't be made: {outcome.message}")
