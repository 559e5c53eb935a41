"""The attempts that one question is worth: deployment after deployment, until there is an answer.

attempts.py makes each of them; what follows one that failed is said by apps/ai/matrix.py, as far as time,
attempts and deployments allow it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from apps.ai import backoff, crowd, fallback, matrix, observation
from apps.ai.allowance import Allowance
from apps.ai.conversation import reworded
from apps.ai.deadlines import Deadlines, Timing
from apps.ai.matrix import Action, Refusal
from apps.ai.providers.outcomes import FailureKind
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest
from apps.ai.routing import Candidate, Costs, Route
from apps.ai.services import deployments
from apps.ai.services.attempts import GRACE, Attempts, Found, Trouble, Turn
from apps.ai.services.calls import Caller
from apps.ai.services.records import Record
from apps.ai.services.troubles import Troubles
from apps.ai.services.watch import COOL_DOWN, Watch
from apps.common.connections import give_back_connection

# How often to look whether other calls have given back what a budget needs.
BUSY = timedelta(seconds=0.5)

# What puts the question to the same deployment in other words.
_WORDS = {Action.SHORTEN, Action.REPAIR, Action.PLAIN_JSON}


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
        self._attempts = Attempts(timing=timing, record=record, watch=watch, caller=caller)
        # Whoever hasn't had a turn yet.
        self._rest = list(route.candidates)
        # Somebody wasn't asked for want of time or attempts: with more there might have been an answer.
        self._is_cut = False
        self._progress = fallback.Progress(awaited=not deadlines.waits)
        self._troubles = Troubles(caller.question.id, route)

    @property
    def explain(self) -> list[dict[str, object]]:
        """What routing said, and what was tried in vain."""
        return self._troubles.explain

    def answer(self) -> Found:
        """Raises GenerationError; whatever was paid is in the ledger by then. And ClaimLostError."""
        turn = self._first()
        while turn is not None:
            result = self._attempt(turn)
            if isinstance(result, Found):
                return result
            turn = self._after(turn, result)
        raise self._troubles.error(is_cut=self._is_cut)

    def _first(self) -> Turn | None:
        self._is_cut = bool(self._rest) and not self._allowance.allows_another
        return self._turn_of(self._rest) if self._rest and not self._is_cut else None

    def _turn_of(self, candidates: list[Candidate]) -> Turn:
        """The first one's, and those alone may come later."""
        first, *self._rest = candidates
        self._allowance.begin_turn(later=len(self._rest))
        return Turn(first, self._request)

    def _attempt(self, turn: Turn) -> Found | Trouble:
        silence = self._allowance.timeout(turn.candidate.timeout)
        # Once a stream has begun, nobody else's answer can take its place: it may use all the time there is.
        timeout = max(silence, self._allowance.time_left) if self._caller.streams else silence
        result = self._attempts.make(turn, timeout=timeout, silence=silence)
        if isinstance(result, Found) or result.was_asked:
            self._allowance.attempted()
        return result

    def _after(self, turn: Turn, trouble: Trouble) -> Turn | None:
        """What the matrix says, as far as time, attempts and deployments allow it."""
        candidate = turn.candidate
        self._troubles.note(candidate, trouble, attempt=self._record.attempts)
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

    def _delay(self, trouble: Trouble) -> timedelta:
        rng = self._timing.rng
        if trouble.kind == Refusal.BUDGET_BUSY:
            return BUSY * rng.uniform(0.5, 1)
        until = trouble.retry_after
        if trouble.kind == FailureKind.RATE_LIMITED:
            until = until or COOL_DOWN  # before that its breaker lets nobody through
        return backoff.delay(self._troubles.tries, retry_after=until, rng=rng)

    def _wait(self, delay: timedelta, *, busy: bool) -> None:
        self._record.keep(self._timing.clock() + delay + GRACE)
        give_back_connection()
        if busy:
            observation.hold_waited(seconds=delay.total_seconds())
        with crowd.away():
            self._timing.sleep(delay.total_seconds())
