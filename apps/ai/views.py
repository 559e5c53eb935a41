from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.ai.deadlines import CRITICAL, OPTIONAL
from apps.ai.filters import GenerationFilter
from apps.ai.hints import hint_generation
from apps.ai.models import Generation, GenerationState
from apps.ai.refusals import refusal
from apps.ai.serializers import (
    AssistantRequest,
    Criticality,
    GenerationAccepted,
    GenerationSerializer,
    QuestionRequest,
)
from apps.ai.services import generations
from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import NotFoundError
from apps.tenants.doors import tenant_transaction
from apps.tenants.permissions import CREATORS
from apps.tenants.views import TenantView

_PREFER = OpenApiParameter(
    "Prefer",
    location=OpenApiParameter.HEADER,
    description="`respond-async` (RFC 7240): answer 202 at once; the answer will be at `status_url`.",
)
PARAMETERS = [IDEMPOTENCY_KEY, _PREFER]
ANSWERS = {200: GenerationSerializer, 202: GenerationAccepted}
_QUESTION = OpenApiExample(
    "A caption",
    request_only=True,
    value={
        "task": "caption",
        "input": "Three photographs from the lake at sunset.",
        "variables": {"tone": "playful"},
        "criticality": "critical",
    },
)


class QuestionView(TenantView):
    """Asks and waits for the answer, or leaves the question to the workers.

    The question is committed before anybody is called, so a caller who goes away finds its answer, and its
    cost, under `/api/v2/generations`; were this process to die, a worker would answer it.
    """

    serializer_class = GenerationSerializer
    request_class: type[QuestionRequest] = QuestionRequest
    write_roles = CREATORS

    def prompt_key(self, question: dict[str, Any]) -> str:
        """Which prompt the question is put with."""
        raise NotImplementedError

    def ask(self, request: Request) -> Response:
        body = self.request_class(data=request.data)
        body.is_valid(raise_exception=True)
        question, later = dict(body.validated_data), _answer_later(request)

        def create() -> Response:
            generation = generations.request_generation(
                tenant_id=self.tenant.pk,
                prompt_key=self.prompt_key(question),
                variables={"input": question["input"], "variables": question["variables"]},
                user_id=self.principal.user_id,
                priority=question["priority"],
                max_tokens=question["max_tokens"],
            )
            if later:
                hint_generation(generation.pk)
            accepted = GenerationAccepted(generation, context={"request": request})
            return Response(accepted.data, status=status.HTTP_202_ACCEPTED)

        made = self.once(create)
        if later:
            return made
        self.end_transaction()
        deadlines = OPTIONAL if question["criticality"] == Criticality.OPTIONAL else CRITICAL
        generation_id = UUID(str(made.data["id"]))
        generations.run_generation(generation_id=generation_id, clock=timezone.now, deadlines=deadlines)
        return self._answer(generation_id) or made

    def _answer(self, generation_id: UUID) -> Response | None:
        """What has become of it; None while somebody else is still at work on it. Raises its refusal."""
        with tenant_transaction(self.tenant):
            generation = Generation.objects.select_related("deployment").get(pk=generation_id)
        if generation.state == GenerationState.FAILED:
            raise refusal(generation)
        if generation.state != GenerationState.SUCCEEDED:
            return None
        return Response(self.get_serializer(generation).data)


def _answer_later(request: Request) -> bool:
    wishes = request.headers.get("Prefer", "").lower().replace(";", ",").split(",")
    return "respond-async" in (wish.strip() for wish in wishes)


class Assistant(QuestionView):
    request_class = AssistantRequest

    @extend_schema(
        operation_id="ask_assistant",
        parameters=PARAMETERS,
        request=AssistantRequest,
        responses=ANSWERS,
        examples=[_QUESTION],
    )
    def post(self, request: Request) -> Response:
        """Ask the AI. Waits up to 20 s for the answer, 2.5 s if it is optional."""
        return self.ask(request)

    def prompt_key(self, question: dict[str, Any]) -> str:
        return f"assistant_{question['task']}"


class Generations(TenantView):
    serializer_class = GenerationSerializer
    filterset_class = GenerationFilter
    queryset = Generation.objects.select_related("deployment").defer("variables", "explain")

    @extend_schema(operation_id="list_generations", responses=GenerationSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Questions to the AI and their answers, newest first."""
        return self.page(self.get_queryset())


class GenerationDetail(TenantView):
    serializer_class = GenerationSerializer

    @extend_schema(operation_id="generation")
    def get(self, request: Request, generation_id: UUID) -> Response:
        """A question to the AI, and its answer as soon as there is one."""
        generation = (
            Generation.objects.select_related("deployment")
            .defer("variables", "explain")
            .filter(pk=generation_id)
            .first()
        )
        if generation is None:
            raise NotFoundError("There is no such generation.")
        return Response(self.get_serializer(generation).data)
