"""One attempt at one deployment: its breaker's leave, the money, the call, and what came of it.

The provider is called with no transaction and no database connection. Every retry, repair and fallback is an
attempt with a hold of its own.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from apps.ai import answers, matrix
from apps.ai.deadlines import Timing
from apps.ai.matrix import Counts, Refusal
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest
from apps.ai.routing import Candidate
from apps.ai.services import deployments
from apps.ai.services.calls import Caller
from apps.ai.services.records import Record, insist
from apps.ai.services.rows import Settlement
from apps.ai.services.watch import Watch
from apps.common.breaker.rules import Admission
from apps.costs.models import BudgetScope
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, Ceiling, NoPriceError
from apps.costs.services import holds
from apps.costs.services.holds import Attempt, Held

log = structlog.get_logger(__name__)

# After an attempt has timed out, how long it may take to settle it before it counts as abandoned.
GRACE = timedelta(seconds=15)

_MONEY = (BudgetExhaustedError, BudgetBusyError, NoPriceError)
# Refusals of our own: no provider was asked.
_UNASKED = {Refusal.BUDGET_EXHAUSTED, Refusal.BUDGET_BUSY, Refusal.NO_PRICE, Refusal.CIRCUIT_OPEN}


@dataclass(frozen=True, slots=True)
class Turn:
    """A deployment and what it is asked."""

    candidate: Candidate
    request: ChatRequest | EmbeddingRequest


@dataclass(frozen=True, slots=True)
class Found:
    """A usable answer. Its attempt isn't settled yet: that is done together with the generation's end."""

    read: answers.Read
    candidate: Candidate
    completion: Completion
    hold: Held
    admission: Admission

    @property
    def settlement(self) -> Settlement:
        return Settlement(self.hold, self.completion.usage)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an attempt came to nothing; `kind` is a row of the matrix."""

    kind: str
    message: str
    retry_after: timedelta | None = None
    answer: str = ""
    # The provider's own words, which may quote our key, where `message` is ours.
    words: str = ""
    # The budget that refused it.
    ceiling: Ceiling | None = None

    @property
    def was_asked(self) -> bool:
        """Whether there was an attempt at all: refusals of our own take none."""
        return self.kind not in _UNASKED

    @property
    def of_provider(self) -> bool:
        """Whether a budget for this provider refused it, which counts nobody else's calls."""
        return self.ceiling is not None and self.ceiling.budget.scope == BudgetScope.PROVIDER


class Attempts:
    """Makes one question's."""

    def __init__(self, *, timing: Timing, record: Record, watch: Watch, caller: Caller) -> None:
        self._timing, self._record, self._watch, self._caller = timing, record, watch, caller

    def make(self, turn: Turn, *, timeout: timedelta, silence: timedelta) -> Found | Trouble:
        """What was paid is in the ledger by then, but for an answer's; `silence`: between a stream's pieces.

        Raises ClaimLostError.
        """
        candidate, request = turn.candidate, turn.request
        admission = self._watch.admit(candidate, lease=timeout + GRACE)
        if admission is None:
            return Trouble(Refusal.CIRCUIT_OPEN, "its breaker lets no call through")
        body = request.body(model=candidate.model, named=candidate.called)
        now = self._timing.clock()
        attempt = Attempt(
            number=self._record.attempts + 1,
            provider=candidate.provider,
            model=candidate.model,
            body_bytes=self._caller.size(body),
            max_tokens=request.max_tokens,
            expires_at=now + timeout + GRACE,
        )
        try:
            # While PostgreSQL holds the money, the client makes the request, which then waits for its leave.
            with closing(self._record.begin(attempt, now=now)) as beginning:
                leave = partial(self._record.began, beginning)
                try:
                    outcome = self._caller.call(
                        candidate,
                        body,
                        timeout=timeout,
                        silence=silence,
                        number=attempt.number,
                        leave=leave,
                    )
                except Exception:  # whatever the client raised, what never went out costs nothing
                    if self._caller.times is None:
                        self._release(leave())
                    raise
                hold = leave()
        except BaseException as refusal:  # whatever it is, of a probe nobody will hear: its lease goes back
            self._watch.record(admission, Counts.ABANDONED)
            if isinstance(refusal, _MONEY):
                ceiling = None if isinstance(refusal, NoPriceError) else refusal.ceiling
                return Trouble(refusal.code, refusal.message, ceiling=ceiling)
            raise
        return self._judge(turn, hold, admission, outcome, cut_short=silence < candidate.timeout)

    def _judge(
        self, turn: Turn, hold: Held, admission: Admission, outcome: Outcome, *, cut_short: bool
    ) -> Found | Trouble:
        if isinstance(outcome, Completion):
            schema = turn.request.schema if isinstance(turn.request, ChatRequest) else None
            read = _read(outcome, schema)
            if isinstance(read, answers.Read):
                return Found(read, turn.candidate, outcome, hold, admission)
            trouble = Trouble(Refusal.UNUSABLE_ANSWER, read.problem, answer=outcome.text)
        else:
            trouble = _trouble(outcome)
        # First, since the database may be away for longer than a probe's lease.
        counts = matrix.counts(trouble.kind, cut_short=cut_short)
        self._watch.record(
            admission,
            counts if self._caller.times else Counts.ABANDONED,
            times=self._caller.times,
            retry_after=trouble.retry_after,
        )
        self._settle(hold, outcome)
        return trouble

    def _settle(self, hold: Held, outcome: Outcome) -> None:
        """End the hold with what is known of the usage."""
        if isinstance(outcome, Failure) and outcome.usage is None and not outcome.maybe_billed:
            self._release(hold)
        else:
            usage = outcome.usage
            insist(lambda now: holds.settle(hold=hold, usage=usage, now=now), hold=hold, timing=self._timing)

    def _release(self, hold: Held) -> None:
        insist(lambda now: holds.release(hold=hold, now=now), hold=hold, timing=self._timing)


def _read(answer: Completion, schema: Mapping[str, Any] | None) -> answers.Read | answers.Unusable:
    try:
        return answers.read(answer, schema=schema)
    except Exception:  # whatever a checker trips over, the answer is paid for and the breaker waits to hear
        log.exception("ai.answer_not_read")
        return answers.Unusable("The answer couldn't be checked.")


def _trouble(failure: Failure) -> Trouble:
    if failure.kind == FailureKind.AUTH:
        return Trouble(failure.kind, deployments.REFUSED, words=failure.message)
    return Trouble(failure.kind, failure.message, failure.retry_after)
