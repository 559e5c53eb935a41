from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.ai.filters import GenerationFilter
from apps.ai.models import Generation
from apps.ai.serializers import GenerationSerializer
from apps.common.errors import NotFoundError
from apps.tenants.views import TenantView


class Generations(TenantView):
    serializer_class = GenerationSerializer
    filterset_class = GenerationFilter
    queryset = Generation.objects.with_paid().select_related("deployment").defer("variables", "explain")

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
            Generation.objects.with_paid()
            .select_related("deployment")
            .defer("variables", "explain")
            .filter(pk=generation_id)
            .first()
        )
        if generation is None:
            raise NotFoundError("There is no such generation.")
        return Response(self.get_serializer(generation).data)
