import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any
from uuid import UUID

from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.ai import crowd, streaming
from apps.ai.deadlines import CRITICAL, OPTIONAL
from apps.ai.hints import hint_generation
from apps.ai.models import Generation, GenerationState
from apps.ai.refusals import may_pass, refusal
from apps.ai.serializers import (
    AssistantRequest,
    Criticality,
    GenerationAccepted,
    GenerationSerializer,
    QuestionRequest,
)
from apps.ai.services import generations
from apps.ai.services.questions import Question
from apps.common.api import idempotency
from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import NotFoundError
from apps.costs.hints import hint_settled
from apps.costs.models import BudgetScope
from apps.costs.subjects import subject_problem
from apps.tenants.doors import tenant_transaction
from apps.tenants.permissions import CREATORS
from apps.tenants.views import TenantView

EVENT_STREAM = "text/event-stream"
_PREFER = OpenApiParameter(
    "Prefer",
    location=OpenApiParameter.HEADER,
    description="`respond-async` (RFC 7240): answer 202 at once; the answer will be at `status_url`.",
)
PARAMETERS = [IDEMPOTENCY_KEY, _PREFER]
ANSWERS = {
    200: GenerationSerializer,
    (200, EVENT_STREAM): OpenApiTypes.STR,
    202: GenerationAccepted,
}
_QUESTION = OpenApiExample(
    "A caption",
    request_only=True,
    value={
        "task": "caption",
        "input": "Three photographs from the lake at sunset.",
        "variables": {"tone": "playful"},
        "criticality": "critical",
        "account": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
    },
)
# Whom or what a question may be for.
_SUBJECTS = (BudgetScope.ACCOUNT, BudgetScope.CAMPAIGN, BudgetScope.USER)
# Answers a question, handing on pieces of the answer where somebody takes them. None: its row has to be read.
_Run = Callable[..., Generation | None]


class EventStreamRenderer(JSONRenderer):
    """For callers who accept nothing but a stream. What isn't one, such as an error before it, is JSON."""

    media_type = EVENT_STREAM
    format = "stream"


class QuestionView(TenantView):
    """Asks and waits for the answer, streams it, or leaves the question to the workers.

    The question is committed before anybody is called, so a caller who goes away finds its answer, and its
    cost, under `/api/v2/generations`; were this process to die, a worker would answer it.
    """

    # Made once, since each copies its fields, which takes longer than what is done with them. Threads share
    # them: only `run_validation` and `to_representation`, which keep nothing.
    asked: QuestionRequest = QuestionRequest()
    answered = GenerationSerializer()
    # Most questions need no row before somebody is called, and none afterwards.
    begins_transaction = False
    renderer_classes = (JSONRenderer, EventStreamRenderer)
    write_roles = CREATORS
    # For a place to work in, which is a part of the time that the caller gives us.
    waited = timedelta()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        came_at = time.monotonic()
        with crowd.place():
            self.waited = timedelta(seconds=time.monotonic() - came_at)
            return super().dispatch(request, *args, **kwargs)

    def receive(self, request: Request) -> None:
        with crowd.away():
            super().receive(request)

    def prompt_key(self, question: dict[str, Any]) -> str:
        """Which prompt the question is put with."""
        raise NotImplementedError

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        renderer, media_type = super().perform_content_negotiation(request, force)
        if isinstance(renderer, EventStreamRenderer):
            return JSONRenderer(), JSONRenderer.media_type
        return renderer, media_type

    def ask(self, request: Request) -> HttpResponseBase:
        asked = self.asked.run_validation(request.data)
        if _answer_later(request):
            return self._leave_once(asked)
        if not asked["stream"]:
            generation_id, run = self._begin(request, asked)
            return self._answer(generation_id, self._run(run))
        # Its place comes first: whoever is refused one has left no question that is paid for.
        with streaming.relay().place() as place:
            return self._stream(place, *self._begin(request, asked))

    def _begin(self, request: Request, asked: dict[str, Any]) -> tuple[UUID, _Run]:
        """Commit the question where it has to be remembered. Its id, and what answers it."""
        deadlines = OPTIONAL if asked["criticality"] == Criticality.OPTIONAL else CRITICAL
        # What nothing kept may answer has to say so in its row.
        if asked["fresh"] or asked["stream"] or idempotency.HEADER in request.headers:
            mine: list[Generation] = []
            made = self._leave_once(asked, mine)
            generation_id = UUID(str(made.data["id"]))
            run: _Run
            if mine:
                run = partial(_and_read, generations.answer_claimed, generation=mine[0])
            else:  # asked before: answered by now, or left to the workers, who may not have begun
                run = partial(_and_read, generations.run_generation, generation_id=generation_id)
        else:
            self._check_subjects(asked)
            # Nothing has to be remembered of it before somebody is called: its row comes with the first hold.
            question = generations.make_question(now=timezone.now(), **self._fields(asked))
            generation_id = question.id
            run = partial(_answer_at_once, question)
        self.end_transaction()
        return generation_id, partial(run, clock=timezone.now, deadlines=deadlines.after(self.waited))

    def _fields(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {
            "tenant_id": self.tenant.pk,
            "prompt_key": self.prompt_key(asked),
            "variables": {"input": asked["input"], "variables": asked["variables"]},
            "account_id": asked["account"],
            "campaign_id": asked["campaign"],
            "user_id": asked["user"] or self.principal.user_id,
            "priority": asked["priority"],
            "max_tokens": asked["max_tokens"],
        }

    def _check_subjects(self, asked: dict[str, Any]) -> None:
        """Look for those that are given, and only for those. Raises NotFoundError."""
        given = {scope: asked[scope] for scope in _SUBJECTS if asked[scope] is not None}
        if not given:
            return
        with tenant_transaction(self.tenant):
            for scope, subject_id in given.items():
                problem = subject_problem(tenant_id=self.tenant.pk, scope=scope, scope_id=subject_id)
                if problem:
                    raise NotFoundError(problem, fields={str(scope): problem})

    def _leave_once(self, asked: dict[str, Any], mine: list[Generation] | None = None) -> Response:
        with tenant_transaction(self.tenant):
            return self.once(lambda: self._leave(asked, mine), stands=_has_not_failed)

    def _leave(self, asked: dict[str, Any], mine: list[Generation] | None = None) -> Response:
        """Leave the question to the workers; if it is to be `mine`, claimed, lest one of them takes it."""
        self._check_subjects(asked)
        claimed_at = None if mine is None else timezone.now()
        # A stream is answered by nothing that is kept; who would rather not wait gets none.
        fresh = asked["fresh"] or (asked["stream"] and mine is not None)
        generation = generations.request_generation(fresh=fresh, claimed_at=claimed_at, **self._fields(asked))
        if mine is None:
            hint_generation(generation.pk)
        else:
            mine.append(generation)
        return self._accepted(generation)

    def _accepted(self, generation: Generation) -> Response:
        accepted = GenerationAccepted(generation, context={"request": self.request})
        return Response(accepted.data, status=status.HTTP_202_ACCEPTED)

    def _answer(self, generation_id: UUID, known: Generation | None) -> Response:
        """What has become of it; 202 while somebody else is still at work on it. Raises its refusal."""
        generation = known or self._read(generation_id)
        if generation.state == GenerationState.FAILED:
            raise refusal(generation, time_zone=self.tenant.time_zone)
        if generation.state != GenerationState.SUCCEEDED:
            return self._accepted(generation)
        return Response(self.answered.to_representation(generation))

    def _stream(self, place: streaming.Place, generation_id: UUID, run: _Run) -> StreamingHttpResponse:
        def produce(put: Callable[[streaming.Event], None]) -> None:
            known = self._run(run, emit=lambda text: put(streaming.delta(text)))
            put(streaming.done(self._answer(generation_id, known).data))

        # The response's head leaves with its first bytes, and so at once.
        events = streaming.sse(chain([None], place.run(produce)))
        return StreamingHttpResponse(
            events,
            content_type=EVENT_STREAM,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    def _run(self, run: _Run, **options: Any) -> Generation | None:
        try:
            return run(**options)
        finally:
            hint_settled(self.tenant.pk)

    def _read(self, generation_id: UUID) -> Generation:
        with tenant_transaction(self.tenant):
            return Generation.objects.select_related("deployment").get(pk=generation_id)


def _and_read(answer: Callable[..., object], **options: Any) -> None:
    answer(**options)


def _answer_at_once(question: Question, **options: Any) -> Generation | None:
    ending = generations.answer_question(question=question, **options)
    return generations.row_of(question, ending) if ending else None


def _has_not_failed(accepted: Any) -> bool:
    """Whether the question of a key still stands for it: not if nobody could answer it at the time."""
    failed = Generation.objects.filter(pk=accepted["id"], state=GenerationState.FAILED).first()
    return failed is None or not may_pass(failed)


def _answer_later(request: Request) -> bool:
    wishes = request.headers.get("Prefer", "").lower().replace(";", ",").split(",")
    return "respond-async" in (wish.strip() for wish in wishes)


class Assistant(QuestionView):
    asked = AssistantRequest()

    @extend_schema(
        operation_id="ask_assistant",
        parameters=PARAMETERS,
        request=AssistantRequest,
        responses=ANSWERS,
        examples=[_QUESTION],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Ask the AI. Waits up to 20 s for the answer, 2.5 s if it is optional.

        With `stream` the answer comes as server-sent events: `delta` with a `text` for each piece, then
        `done` with the generation, or `error`. Who hangs up loses nothing: the answer is completed and kept.
        """
        return self.ask(request)

    def prompt_key(self, question: dict[str, Any]) -> str:
        return f"assistant_{question['task']}"
