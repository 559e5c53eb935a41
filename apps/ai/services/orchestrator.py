"""One question, answered: from the cache, by an identical call in flight, or by the deployments in turn.

A miss costs two round trips to Redis (look, join or lead, read the breakers; then tell joiners, cache and the
breaker) and two to PostgreSQL (row and hold; then settlement and end), whatever the number of budgets.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from apps.ai import crowd, ladder, observation, routing, spans
from apps.ai.deadlines import Deadlines, Timing
from apps.ai.flights.desk import SentEnd, desk
from apps.ai.flights.identity import identity
from apps.ai.flights.turns import Again, Answer, Ask, Begun, Hit, Inherent, Join, Stale, Told
from apps.ai.flights.turns import Lead as Leading
from apps.ai.models import Source
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest, size
from apps.ai.routing import Costs, Wish
from apps.ai.services import budget_left, configuration, endings, prompts
from apps.ai.services.attempts import GRACE, Found
from apps.ai.services.calls import Caller
from apps.ai.services.configuration import Configuration
from apps.ai.services.lead import Lead
from apps.ai.services.questions import Question
from apps.ai.services.records import Record, insist
from apps.ai.services.recovery import PutBackError, put_back
from apps.ai.services.rows import Ending, Settlement, nothing
from apps.ai.services.troubles import GenerationError
from apps.ai.services.watch import Watch, read_call
from apps.common.connections import give_back_connection
from apps.common.errors import DomainError
from apps.common.shared_redis import Call

# Off, one provider answers; the answers have the same shape.
HYBRID = "hybrid_orchestrator"
PINNED = "a replay asks one deployment alone"
# A row that waits for somebody else's answer is kept ours for so long at a time.
_KEPT = timedelta(seconds=60)
# What became of a wait for somebody else's answer, for the figures.
_JOINED: dict[type, str] = {
    Join: "gave_up",
    Leading: "took_over",
    Answer: "answered",
    Hit: "answered",
    Inherent: "refused",
}


def generate(
    question: Question,
    *,
    record: Record,
    deadlines: Deadlines,
    timing: Timing,
    emit: Callable[[str], None] | None = None,
) -> Ending:
    """Find an answer and write it into the question's row; why there is none, too.

    Raises ClaimLostError, and PutBackError if the row waits for a recovery.

    With `emit`, the answer is handed on piece by piece as it comes; then it neither joins nor is joined.
    """
    caller = Caller(question, emit)
    with spans.generation(
        task_kind=question.task_kind,
        tenant_id=question.tenant_id,
        generation_id=question.id,
        control=(PutBackError,),
    ) as span:
        ending = _Generation(question, record, deadlines, timing, caller).run()
        span.ended(source=ending.source, attempts=ending.attempts, error_code=ending.error_code)
    seconds = (ending.latency or timedelta()).total_seconds()
    observation.generation_ended(
        task_kind=question.task_kind,
        source=ending.source,
        state=ending.state,
        seconds=seconds,
        overhead_seconds=max(seconds - caller.seconds, 0.0),
    )
    return ending


@dataclass(slots=True)
class _Generation:
    """The state of one call of `generate`."""

    question: Question
    record: Record
    deadlines: Deadlines
    timing: Timing
    caller: Caller
    began_at: datetime = field(init=False)
    stale: Stale | None = None

    def run(self) -> Ending:
        self.began_at = self.timing.clock()
        try:
            return self._answer()
        except DomainError as error:
            now = self.timing.clock()
            failure = put_back(error, record=self.record, deadlines=self.deadlines, now=now)
            return self._write(self._instead(failure))

    def _answer(self) -> Ending:
        config, question = configuration.current(), self.question
        request = question.request or prompts.render_request(
            prompt=question.prompt, variables=question.variables, max_tokens=question.max_tokens
        )
        give_back_connection()
        ask = _ask(question, config, self.deadlines)
        begun = self._begin(ask, config)
        match begun.turn:
            case Leading(ticket, stale):
                self.stale = stale
                watch = self._watch(config, begun.extra)
                return self._lead(self._make_lead(request, config, watch), ticket, watch)
            case Join(_, _, stale):
                self.stale = stale
                raise GenerationError(
                    "The same question is being answered, but not within your deadline.", code="timeout"
                )
            case Hit(answer, age):
                why = f"the same question was answered {age.total_seconds():.0f} s ago"
                return self._write(self._shared(answer, Source.CACHE, age, why))
            case Answer(answer):
                why = "the same question was being answered"
                return self._write(self._shared(answer, Source.PROVIDER, timedelta(), why))
            case Inherent(error):
                raise GenerationError(error["message"], code=error["code"], inherent=True)

    def _begin(self, ask: Ask, config: Configuration) -> Begun:
        """Whose turn it is, and how the breakers are, in one round trip."""
        if self._is_alone:
            # It never began, so nobody joins it; what it finds is cached all the same.
            return Begun(Leading(ask), None)
        read = [read_call(config.deployments)]
        begun = desk().begin(ask, read)
        if begun.extra is not None or isinstance(begun.turn, Hit):
            observation.cache_looked_up(hit=isinstance(begun.turn, Hit))
        if isinstance(begun.turn, Join):
            with crowd.away():
                begun = desk().follow(begun.turn, time_left=self._time_to_wait, extra=read)
            if outcome := _JOINED.get(type(begun.turn)):
                observation.join_ended(outcome=outcome)
        return begun

    def _watch(self, config: Configuration, answers: Sequence[object] | None) -> Watch:
        if self._is_alone:
            return Watch.asking(config.deployments)
        return Watch.reading(config.deployments, answers)

    @property
    def _ends_at(self) -> datetime:
        until = self.began_at + self.deadlines.total
        return min(until, self.record.ends_at or until)

    @property
    def _is_alone(self) -> bool:
        return self.question.fresh or self.caller.emit is not None

    def _time_to_wait(self) -> timedelta:
        """Until the deadline, for one who waits for another's answer; meanwhile its row stays its own."""
        now = self.timing.clock()
        self.record.keep(now + _KEPT / 2, long=now + _KEPT)
        give_back_connection()
        return self._ends_at - now

    def _make_lead(
        self, request: ChatRequest | EmbeddingRequest, config: Configuration, watch: Watch
    ) -> Lead:
        question = self.question
        costs = Costs(
            rates=config.prices,
            body_bytes=size(request.body(model="", named="")),
            max_tokens=request.max_tokens,
        )
        route = routing.route(
            task_kind=question.task_kind,
            deployments=config.deployments,
            exclusions=_exclusions(question, config),
            rng=self.timing.rng,
            breakers=watch.obstacles(),
            costs=costs,
            wish=Wish(
                policy=config.policy(question.tenant_id),
                first=config.first(question.tenant_id, question.task_kind),
                priority=question.priority,
                budget_left=budget_left.of(question.tenant_id),
                hybrid=config.flags.is_enabled(HYBRID, question.tenant_id, default=True),
            ),
        )
        return Lead(
            request,
            route=route,
            costs=costs,
            deadlines=self.deadlines,
            ends_at=self._ends_at,
            timing=self.timing,
            record=self.record,
            watch=watch,
            caller=self.caller,
        )

    def _lead(self, lead: Lead, ticket: Ask | None, watch: Watch) -> Ending:
        """Answer for everybody who has joined by then."""
        with desk().kept(None if self._is_alone else ticket, at_most=self.deadlines.total + GRACE):
            try:
                found = lead.answer()
            except BaseException as error:  # whatever it is, nobody who joined waits for us
                desk().end(ticket, self._told(error, ticket))
                raise
            ending = endings.from_provider(
                found, question=self.question, attempts=self.record.attempts, explain=lead.explain
            )
            hand_on = _HandOn(
                ticket,
                Answer(endings.shared(ending, question=self.question)),
                watch.success_call(found.admission, times=self.caller.times),
            )
            try:
                ending = self._pay(found, ending, hand_on)
            finally:
                answers = hand_on.answers()
                watch.note_success(found.admission, answers, times=self.caller.times)
        if self._can_be_joined(ticket):
            observation.flight_ended(outcome="answer")
        return ending

    def _can_be_joined(self, ticket: Ask | None) -> bool:
        return ticket is not None and not self._is_alone

    def _told(self, error: BaseException, ticket: Ask | None) -> Told:
        """What joiners hear of a failure: one that is the question's own is theirs, too."""
        inherent = isinstance(error, GenerationError) and error.inherent
        if self._can_be_joined(ticket):
            observation.flight_ended(outcome="inherent" if inherent else "abandoned")
        if isinstance(error, GenerationError) and error.inherent:
            return Inherent({"code": error.code, "message": error.message})
        return Again()

    def _pay(self, found: Found, ending: Ending, hand_on: "_HandOn") -> Ending:
        """Settle the attempt that brought the answer and end the generation; hand it on meanwhile."""

        def write(now: datetime) -> Ending:
            try:
                return self._finish(ending, now=now, settlement=found.settlement, meanwhile=hand_on)
            finally:
                # Those who joined don't wait for a database that is away.
                hand_on()

        return insist(write, hold=found.hold, timing=self.timing)

    def _instead(self, error: DomainError) -> Ending:
        """What there is when nobody can answer: for optional work an old answer, or the prompt's words."""
        failed = endings.failed(error, attempts=self.record.attempts)
        question = self.question
        if not self.deadlines.degrades or self.caller.has_spoken or getattr(error, "inherent", False):
            return failed
        if self.stale is not None:
            found = self._shared(self.stale.answer, Source.STALE, self.stale.age, error.message)
        else:
            words = ladder.from_template(
                question.prompt.fallback, question.variables, schema=question.prompt.output_schema
            )
            if words is None:
                return failed
            found = endings.from_template(words, question=question)
        explain = [*failed.explain, *found.explain]
        return replace(found, explain=explain, attempts=failed.attempts)

    def _shared(self, answer: Mapping[str, Any], source: Source, age: timedelta, why: str) -> Ending:
        found = endings.from_shared(answer, question=self.question, source=source, age=age, why=why)
        # The answer may be older than the deployment's end.
        known = found.deployment_id in configuration.current().prices
        return found if known else replace(found, deployment_id=None)

    def _write(self, ending: Ending) -> Ending:
        return self._finish(ending, now=self.timing.clock())

    def _finish(
        self,
        ending: Ending,
        *,
        now: datetime,
        settlement: Settlement | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> Ending:
        timed = replace(ending, latency=max(now - self.began_at, timedelta()), finished_at=now)
        came_to = self.record.end(timed, now=now, settlement=settlement, meanwhile=meanwhile)
        return timed if came_to == timed.came_to else replace(timed, came_to=came_to)


class _HandOn:
    """Tells those who joined, the cache and the breaker of an answer, at the first call.

    That it was answered stays true whatever comes of writing what it cost.
    """

    def __init__(self, ticket: Ask | None, answer: Answer, success: Call) -> None:
        self._ticket, self._answer, self._success = ticket, answer, success
        self._sent: SentEnd | None = None

    def __call__(self) -> None:
        self._sent = self._sent or desk().send_end(self._ticket, self._answer, [self._success])

    def answers(self) -> Sequence[object] | None:
        """What the breaker said; None while Redis is away."""
        return self._sent.answers() if self._sent else None


def _exclusions(question: Question, config: Configuration) -> Mapping[UUID, str]:
    """Which deployments may not be asked, and why; for a replay all but one."""
    if question.pinned_id is None:
        return config.exclusions
    others = (each.id for each in config.deployments if each.id != question.pinned_id)
    return {**dict.fromkeys(others, PINNED), **config.exclusions}


def _ask(question: Question, config: Configuration, deadlines: Deadlines) -> Ask:
    """What makes it the same question as another one, and whom it waits for.

    By the whole time that it has, not by what is left of it: among equals it is always the first who leads.
    """
    wanted = routing.PREFERENCES[question.task_kind].model_class
    parameters: dict[str, str] = {"policy": config.policy(question.tenant_id)}
    if first := config.first(question.tenant_id, question.task_kind):
        # Answers of whoever was preferred before are no answers of this one.
        parameters["first"] = str(first)
    return Ask(
        question.tenant_id,
        identity(
            tenant_id=question.tenant_id,
            prompt_key=question.prompt.key,
            prompt_version_id=question.prompt.pk,
            variables=question.variables,
            max_tokens=question.max_tokens,
            parameters=parameters,
            model_class=wanted,
        ),
        config.ttl(question.tenant_id, question.task_kind),
        takes=deadlines.total,
        waits=None if deadlines.degrades else deadlines.total,
    )
