from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request

from apps.ai.models import TaskKind
from apps.ai.serializers import QuestionRequest
from apps.ai.views.questions import ANSWERS, PARAMETERS, QuestionView

_QUESTION = OpenApiExample(
    "Ideas for a week",
    request_only=True,
    value={
        "input": "Ideas for next week: fitness, mostly short videos.",
        "variables": {"platforms": ["instagram", "tiktok"]},
    },
)


class IdeasRequest(QuestionRequest):
    """A question for ideas."""

    task = serializers.ChoiceField([TaskKind.IDEA], default=TaskKind.IDEA, help_text="Always this.")


class ContentIdeas(QuestionView):
    asked = IdeasRequest()

    @extend_schema(
        operation_id="generate_content_ideas",
        parameters=PARAMETERS,
        request=IdeasRequest,
        responses=ANSWERS,
        examples=[_QUESTION],
    )
    def post(self, request: Request) -> HttpResponseBase:
        """Ideas for what to publish next, in `data.ideas`: each with a title, a format and a first line."""
        return self.ask(request)

    def prompt_key(self, question: dict[str, Any]) -> str:
        return "content_ideas"
