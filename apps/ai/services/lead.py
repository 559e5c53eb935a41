"""The attempts that one question is worth: deployment after deployment, until there is an answer.

For each attempt: hold the money, call the provider (with no transaction and no database connection), settle.
Every retry, repair and fallback is an attempt with a hold of its own. What a failure leads to is said by
apps/ai/matrix.py.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from apps.ai import answers, backoff, fallback, matrix, observation
from apps.ai.allowance import Allowance
from apps.ai.conversation import reworded
from apps.ai.deadlines import Deadlines, Timing
from apps.ai.matrix import Action, Counts, Refusal
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest
from apps.ai.routing import Candidate, Costs, Route
from apps.ai.services import budget_left, deployments
from apps.ai.services.calls import Caller
from apps.ai.services.records import Record, insist
from apps.ai.services.rows import Settlement
from apps.ai.services.watch import COOL_DOWN, Watch
from apps.common.breaker.rules import Admission
from apps.common.connections import give_back_connection
from apps.common.errors import DomainError
from apps.costs.models import BudgetScope, Hold
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, NoPriceError
from apps.costs.services import holds
from apps.costs.services.holds import Attempt

log = structlog.get_logger(__name__)

# After an attempt has timed out, how long it may take to settle it before it counts as abandoned.
GRACE = timedelta(seconds=15)
# How often to look whether other calls have given back what a budget needs.
BUSY = timedelta(seconds=0.5)

_MONEY = (BudgetExhaustedError, BudgetBusyError, NoPriceError)
# Refusals of our own: no provider was asked.
_UNASKED = {Refusal.BUDGET_EXHAUSTED, Refusal.BUDGET_BUSY, Refusal.NO_PRICE, Refusal.CIRCUIT_OPEN}
# What puts the question to the same deployment in other words.
_WORDS = {Action.SHORTEN, Action.REPAIR, Action.PLAIN_JSON}


class GenerationError(DomainError):
    """Nobody could answer; `explain` says what was tried. `inherent`: whoever asks the same gets the same."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        explain: list[dict[str, object]] | None = None,
        attempts: int = 0,
        inherent: bool = False,
    ) -> None:
        super().__init__(message[:2000], code=code)
        self.explain = explain or []
        self.attempts = attempts
        self.inherent = inherent


@dataclass(frozen=True, slots=True)
class Found:
    """A usable answer. Its attempt isn't settled yet: that is done together with the generation's end."""

    read: answers.Read
    candidate: Candidate
    completion: Completion
    hold: Hold
    admission: Admission
    explain: list[dict[str, object]]

    @property
    def settlement(self) -> Settlement:
        return Settlement(self.hold, self.completion.usage)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A deployment and what it is asked."""

    candidate: Candidate
    request: ChatRequest | EmbeddingRequest


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a turn came to nothing; `kind` is a row of the matrix."""

    kind: str
    message: str
    retry_after: timedelta | None = None
    answer: str = ""
    # The provider's own words, which may quote our key, where `message` is ours.
    words: str = ""
    # It was refused by a budget for this provider, which counts nobody else's calls.
    of_provider: bool = False


class Lead:
    """One question's way through the deployments of its route. For `ends_at` see Allowance."""

    def __init__(
        self,
        request: ChatRequest | EmbeddingRequest,
        *,
        route: Route,
        costs: Costs,
        deadlines: Deadlines,
        ends_at: datetime,
        timing: Timing,
        record: Record,
        watch: Watch,
        caller: Caller,
    ) -> None:
        self._request, self._costs, self._timing = request, costs, timing
        self._record, self._watch, self._caller = record, watch, caller
        self._allowance = Allowance(deadlines, ends_at=ends_at, clock=timing.clock)
        # Whoever hasn't had a turn yet.
        self._rest = list(route.candidates)
        # Somebody wasn't asked for want of time or attempts: with more there might have been an answer.
        self._is_cut = False
        self._progress = fallback.Progress()
        self._troubles: list[tuple[Candidate, _Trouble]] = []
        self.explain = list(route.explain)

    def answer(self) -> Found:
        """Raises GenerationError; whatever was paid is in the ledger by then. And ClaimLostError."""
        turn = self._first()
        while turn is not None:
            result = self._take(turn)
            if isinstance(result, Found):
                return result
            turn = self._after(turn, result)
        raise self._error()

    def _first(self) -> _Turn | None:
        self._is_cut = bool(self._rest) and not self._allowance.allows_another
        return self._turn_of(self._rest) if self._rest and not self._is_cut else None

    def _turn_of(self, candidates: list[Candidate]) -> _Turn:
        """The first one's, and those alone may come later."""
        first, *self._rest = candidates
        self._allowance.begin_turn(later=len(self._rest))
        return _Turn(first, self._request)

    def _take(self, turn: _Turn) -> Found | _Trouble:
        candidate, silence = turn.candidate, self._allowance.timeout(turn.candidate.timeout)
        # Once a stream has begun, nobody else's answer can take its place: it may use all the time there is.
        timeout = max(silence, self._allowance.time_left) if self._caller.streams else silence
        admission = self._watch.admit(candidate, lease=timeout + GRACE)
        if admission is None:
            return _Trouble(Refusal.CIRCUIT_OPEN, "its breaker lets no call through")
        request = turn.request
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
            begun = self._record.begin(attempt, now=now)
        except BaseException as refusal:  # whatever it is, nobody is called: a probe's lease goes back
            self._watch.record(admission, Counts.ABANDONED)
            if isinstance(refusal, _MONEY):
                return _Trouble(refusal.code, refusal.message, of_provider=_is_of_provider(refusal))
            raise
        budget_left.note(self._caller.question.tenant_id, begun.budget_left)
        self._allowance.attempted()
        give_back_connection()
        outcome = self._caller.call(candidate, body, timeout=timeout, silence=silence, number=attempt.number)
        return self._judge(turn, begun.hold, admission, outcome, cut_short=silence < candidate.timeout)

    def _judge(
        self, turn: _Turn, hold: Hold, admission: Admission, outcome: Outcome, *, cut_short: bool
    ) -> Found | _Trouble:
        if isinstance(outcome, Completion):
            schema = turn.request.schema if isinstance(turn.request, ChatRequest) else None
            read = answers.read(outcome, schema=schema)
            if isinstance(read, answers.Read):
                return Found(read, turn.candidate, outcome, hold, admission, self.explain)
            trouble = _Trouble(Refusal.UNUSABLE_ANSWER, read.problem, answer=outcome.text)
        else:
            trouble = _trouble(outcome)
        # First, since the database may be away for longer than a probe's lease.
        self._watch.record(
            admission,
            matrix.counts(trouble.kind, cut_short=cut_short),
            began=self._caller.began,
            retry_after=trouble.retry_after,
        )
        self._settle(hold, outcome)
        return trouble

    def _settle(self, hold: Hold, outcome: Outcome) -> None:
        """End the hold with what is known of the usage."""
        if isinstance(outcome, Failure) and outcome.usage is None and not outcome.maybe_billed:
            insist(lambda now: holds.release(hold=hold, now=now), hold=hold, timing=self._timing)
        else:
            usage = outcome.usage
            insist(lambda now: holds.settle(hold=hold, usage=usage, now=now), hold=hold, timing=self._timing)

    def _after(self, turn: _Turn, trouble: _Trouble) -> _Turn | None:
        """What the matrix says, as far as time, attempts and deployments allow it."""
        candidate = turn.candidate
        self._note(candidate, trouble)
        row = matrix.MATRIX[trouble.kind]
        if row.disables:
            question = self._caller.question
            now = self._timing.clock()
            deployments.disable(candidate, reason=trouble.words, tenant_id=question.tenant_id, now=now)
        if self._caller.has_spoken:
            return None
        delay = self._delay(trouble)
        others = fallback.successors(
            row.where,
            present=candidate,
            rest=self._rest,
            costs=self._costs,
            others_are_free=trouble.of_provider,
        )
        words = reworded(turn.request, trouble.kind, answer=trouble.answer, problem=trouble.message)
        impossible = self._impossible(candidate, delay, others) | (_WORDS - words.keys())
        step = self._progress.next(trouble.kind, impossible=impossible)
        match step.action:
            case Action.RETRY_HERE:
                self._wait(delay, busy=trouble.kind == Refusal.BUDGET_BUSY)
                return turn
            case Action.OTHER_DEPLOYMENT:
                observation.fell_back(origin=candidate.name, target=others[0].name, kind=trouble.kind)
                return self._turn_of(others)
            case Action.STOP:
                return None
        return replace(turn, request=words[step.action])

    def _impossible(self, candidate: Candidate, delay: timedelta, others: list[Candidate]) -> set[Action]:
        """What lacks time, attempts or somebody to ask."""
        found: set[Action] = set()
        if not self._allowance.allows_more_here:
            found |= {Action.RETRY_HERE} | _WORDS
        if not self._allowance.allows_wait(delay) or self._watch.opened(candidate):
            found.add(Action.RETRY_HERE)
        if not others or not self._allowance.allows_another:
            found.add(Action.OTHER_DEPLOYMENT)
            self._is_cut |= bool(others)
        return found

    def _delay(self, trouble: _Trouble) -> timedelta:
        rng = self._timing.rng
        if trouble.kind == Refusal.BUDGET_BUSY:
            return BUSY * rng.uniform(0.5, 1)
        tries = sum(why.kind not in _UNASKED for _, why in self._troubles)
        until = trouble.retry_after
        if trouble.kind == FailureKind.RATE_LIMITED:
            until = until or COOL_DOWN  # before that its breaker lets nobody through
        return backoff.delay(tries, retry_after=until, rng=rng)

    def _wait(self, delay: timedelta, *, busy: bool) -> None:
        self._record.keep(self._timing.clock() + delay + GRACE)
        give_back_connection()
        if busy:
            observation.hold_waited(seconds=delay.total_seconds())
        self._timing.sleep(delay.total_seconds())

    def _note(self, candidate: Candidate, trouble: _Trouble) -> None:
        if trouble.kind == Refusal.BUDGET_BUSY and self._troubles:
            before, last = self._troubles[-1]
            if (before, last.kind) == (candidate, trouble.kind):
                return  # it still is
        self._troubles.append((candidate, trouble))
        self.explain.append(
            {
                "attempt": self._record.attempts,
                "deployment": candidate.name,
                "outcome": str(trouble.kind),
                "message": trouble.message[:500],
            }
        )
        log.warning(
            "ai.attempt_failed",
            generation_id=str(self._caller.question.id),
            attempt=self._record.attempts,
            deployment=candidate.name,
            outcome=str(trouble.kind),
        )

    def _error(self) -> GenerationError:
        if self._troubles:
            kinds = [why.kind for _, why in self._troubles]
            others = [kind for kind in kinds if not matrix.MATRIX[kind].inherent]
            # The question is at fault only where nothing else was.
            at_fault = not self._is_cut and not others
            said = dict.fromkeys(f"{each.name} ({each.model}): {why.message}" for each, why in self._troubles)
            return GenerationError(
                f"No deployment gave a usable answer. {'; '.join(said)}",
                code=str((others or kinds)[-1]),
                explain=self.explain,
                attempts=self._record.attempts,
                inherent=at_fault,
            )
        if self._is_cut:
            return GenerationError(
                "There was no time left to ask anybody.",
                code=str(FailureKind.TIMEOUT),
                explain=self.explain,
                attempts=self._record.attempts,
            )
        why = "; ".join(f"{each['deployment']}: {each['passed_over']}" for each in self.explain)
        obstacles = set(self._watch.obstacles().values()) - {None}
        waits = any(each.get("passed_over") in obstacles for each in self.explain)
        return GenerationError(
            f"No deployment can take this task{' now' if waits else ''} ({why or 'there is none'})."
            + ("" if waits else " Enable or add one."),
            code=str(Refusal.CIRCUIT_OPEN) if waits else "no_deployment",
            explain=self.explain,
            attempts=self._record.attempts,
        )


def _is_of_provider(refusal: BudgetExhaustedError | BudgetBusyError | NoPriceError) -> bool:
    if isinstance(refusal, NoPriceError):
        return False
    return refusal.ceiling.budget.scope == BudgetScope.PROVIDER


def _trouble(failure: Failure) -> _Trouble:
    if failure.kind == FailureKind.AUTH:
        return _Trouble(failure.kind, deployments.REFUSED, words=failure.message)
    return _Trouble(failure.kind, failure.message, failure.retry_after)
