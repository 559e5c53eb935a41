"""One question, asked at one deployment after another until there is an answer.

For each attempt: hold the money, call the provider (with no transaction and no database connection), settle.
Every retry, repair and fallback is an attempt with a hold of its own.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError

from apps.ai import answers, routing
from apps.ai.conversation import Conversation
from apps.ai.deadlines import Deadlines
from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, size
from apps.ai.routing import Candidate
from apps.common.connections import give_back_connection
from apps.common.errors import DomainError
from apps.costs.models import Hold
from apps.costs.refusals import BudgetBusyError
from apps.costs.services import holds
from apps.costs.services.holds import Purpose

log = structlog.get_logger(__name__)

# After an attempt has timed out, how long it may take to settle it before it counts as abandoned.
GRACE = timedelta(seconds=15)
_BACKOFF = timedelta(seconds=0.5)
_LONGEST_BACKOFF = timedelta(seconds=8)
# How often to look whether other calls have given back what a budget needs.
_BUSY = timedelta(seconds=0.5)
# How long to wait before an outcome is written again that the database didn't take.
_DATABASE_AWAY = timedelta(seconds=1)


class GenerationError(DomainError):
    """Nobody could answer; `explain` holds what was tried."""

    def __init__(self, message: str, *, code: str, explain: list[dict[str, object]], attempts: int) -> None:
        super().__init__(message, code=code)
        self.explain = explain
        self.attempts = attempts


@dataclass(frozen=True, slots=True)
class Answer:
    read: answers.Read
    candidate: Candidate
    model: str
    attempts: int
    explain: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time comes from and goes to. `renew(number, until)` is called before each attempt and each wait:
    this generation is still worked on, at least until then; it may raise to stop."""

    clock: Callable[[], datetime]
    renew: Callable[[int, datetime], None]
    sleep: Callable[[float], None] = time.sleep
    rng: random.Random = field(default_factory=random.Random)


def generate(
    *,
    request: ChatRequest,
    purpose: Purpose,
    deployments: Iterable[Candidate],
    exclusions: Mapping[UUID, str],
    deadlines: Deadlines,
    timing: Timing,
    attempts_before: int = 0,
) -> Answer:
    """Ask until there is a usable answer. Raises GenerationError; whatever it cost is in the ledger by then.

    `attempts_before` are those of an earlier process, which died: numbers go on from there.
    """
    missing = {each.id: why for each in deployments if (why := PROVIDERS[each.provider].missing())}
    route = routing.route(
        task_kind=purpose.task_kind,
        deployments=deployments,
        exclusions={**missing, **exclusions},
        rng=timing.rng,
    )
    return _Run(request, purpose, route, deadlines, timing, attempts_before).answer()


class _Run:
    """The state of one call of `generate`."""

    def __init__(
        self,
        request: ChatRequest,
        purpose: Purpose,
        route: routing.Route,
        deadlines: Deadlines,
        timing: Timing,
        attempts_before: int,
    ) -> None:
        self.request, self.purpose, self.deadlines, self.timing = request, purpose, deadlines, timing
        # More could not be reached: each gets at least one attempt.
        self.candidates = route.candidates[: 1 + deadlines.retries]
        self.explain = list(route.explain)
        self.ends_at = timing.clock() + deadlines.total
        self.number = attempts_before
        self.attempts_left = 1 + deadlines.retries
        self.later = 0  # candidates that come after the present one
        self.failures: list[tuple[str, str]] = []

    def answer(self) -> Answer:
        for place, candidate in enumerate(self.candidates, start=1):
            self.later = len(self.candidates) - place
            found = self._ask(candidate)
            if found is not None:
                return found
        raise self._error()

    def _ask(self, candidate: Candidate) -> Answer | None:
        """Attempts at one deployment; None when it is the next one's turn."""
        conversation = Conversation(self.request)
        while self.attempts_left > self.later and self._time_left() > timedelta():
            try:
                outcome = self._attempt(candidate, conversation.request)
            except DomainError as refusal:
                self._note(candidate, refusal.code, refusal.message)
                return None
            if isinstance(outcome, Completion):
                read = answers.read(outcome, schema=self.request.schema)
                if isinstance(read, answers.Read):
                    return self._answer(candidate, outcome, read)
                self._note(candidate, "unusable_answer", read.problem)
                if conversation.repaired:
                    return None
                conversation = conversation.repair(answer=outcome.text, problem=read.problem)
                continue
            self._note(candidate, outcome.kind, outcome.message)
            if outcome.kind is FailureKind.UNSUPPORTED_FORMAT and conversation.request.strict_format:
                conversation = conversation.in_plain_json()
            elif not outcome.kind.passes or not self._wait(outcome):
                return None
        return None

    def _attempt(self, candidate: Candidate, request: ChatRequest) -> Outcome:
        """Hold, call, settle. Raises what taking the hold does."""
        body = request.body(model=candidate.model, named=candidate.called)
        hold, timeout = self._hold(candidate, body_bytes=size(body))
        self.attempts_left -= 1
        give_back_connection()
        outcome = PROVIDERS[candidate.provider].complete(body, timeout=timeout)
        self._account(hold, outcome)
        return outcome

    def _account(self, hold: Hold, outcome: Outcome) -> None:
        """End the hold with what is known of the usage, which a database away for a moment must not lose."""
        free = isinstance(outcome, Failure) and outcome.usage is None and not outcome.maybe_billed
        while True:
            now = self.timing.clock()
            try:
                if free:
                    holds.release(hold=hold, now=now)
                else:
                    holds.settle(hold=hold, usage=outcome.usage, now=now)
            except (OperationalError, InterfaceError) as error:
                if now + _DATABASE_AWAY >= hold.expires_at:
                    raise
                log.warning("hold.settling_again", hold_id=str(hold.pk), error=str(error))
                self.timing.sleep(_DATABASE_AWAY.total_seconds())
            else:
                return

    def _hold(self, candidate: Candidate, *, body_bytes: int) -> tuple[Hold, timedelta]:
        """Hold the attempt's bound, waiting for other calls to settle if only they are in the way."""
        while True:
            now, timeout = self.timing.clock(), self._timeout(candidate)
            until = now + timeout + GRACE
            self.timing.renew(self.number + 1, until)
            try:
                hold = holds.take(
                    purpose=self.purpose,
                    attempt=self.number + 1,
                    provider=candidate.provider,
                    model=candidate.model,
                    body_bytes=body_bytes,
                    max_tokens=self.request.max_tokens,
                    expires_at=until,
                    now=now,
                )
            except BudgetBusyError:
                if self._time_left() <= _BUSY:
                    raise
                self._sleep(_BUSY * self.timing.rng.uniform(0.5, 1))
            else:
                self.number += 1
                return hold, timeout

    def _time_left(self) -> timedelta:
        """Until the deadline, less what one attempt at each later candidate needs."""
        return self.ends_at - self.timing.clock() - self.later * self.deadlines.attempt

    def _timeout(self, candidate: Candidate) -> timedelta:
        return max(
            min(candidate.timeout, self.deadlines.attempt, self._time_left()), timedelta(milliseconds=1)
        )

    def _wait(self, failure: Failure) -> bool:
        """Full jitter, but at least what the provider asked for; False if there is no time for it."""
        longest = min(_BACKOFF * 2 ** len(self.failures), _LONGEST_BACKOFF)
        delay = longest * self.timing.rng.random()
        if failure.retry_after is not None:
            delay += failure.retry_after
        if self.attempts_left <= self.later or delay >= self._time_left():
            return False
        self._sleep(delay)
        return True

    def _sleep(self, delay: timedelta) -> None:
        self.timing.renew(self.number, self.timing.clock() + delay + GRACE)
        give_back_connection()
        self.timing.sleep(delay.total_seconds())

    def _note(self, candidate: Candidate, outcome: str, message: str) -> None:
        self.failures.append((str(outcome), f"{candidate.name} ({candidate.model}): {message}"))
        self.explain.append(
            {
                "attempt": self.number,
                "deployment": candidate.name,
                "outcome": str(outcome),
                "message": message[:500],
            }
        )
        log.warning(
            "ai.attempt_failed",
            generation_id=str(self.purpose.generation_id),
            attempt=self.number,
            deployment=candidate.name,
            outcome=str(outcome),
        )

    def _answer(self, candidate: Candidate, completion: Completion, read: answers.Read) -> Answer:
        self.explain.append({"attempt": self.number, "deployment": candidate.name, "outcome": "answered"})
        return Answer(read, candidate, completion.model or candidate.model, self.number, self.explain)

    def _error(self) -> GenerationError:
        if self.failures:
            code, _message = self.failures[-1]
            said = "; ".join(dict.fromkeys(message for _code, message in self.failures))
            message = f"No deployment gave a usable answer. {said}"
        else:
            code = "no_deployment"
            why = "; ".join(f"{each['deployment']}: {each['passed_over']}" for each in self.explain)
            message = f"No deployment can take this task ({why or 'there is none'}). Enable or add one."
        return GenerationError(message[:2000], code=code, explain=self.explain, attempts=self.number)
