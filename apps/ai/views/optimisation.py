"""What might be had for less, and what is done about it."""

from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.ai.filters import RecommendationFilter
from apps.ai.hints import hint_analysis, hint_generation
from apps.ai.models import Analysis, Recommendation, Replay, ReplayItem
from apps.ai.queries import savings
from apps.ai.recommendation_serializers import (
    Action,
    AnalysisSerializer,
    OptimiseRequest,
    RecommendationDetailSerializer,
    RecommendationPageSerializer,
    RecommendationSerializer,
    TotalsSerializer,
)
from apps.ai.services import analyses, recommendations, replays
from apps.ai.views.optimisation_examples import ANSWERS, PAGE, REQUESTS, VERIFIED
from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import NotFoundError
from apps.tenants.views import TenantView

_TAGS = ["costs"]
_PAGING = [
    OpenApiParameter("cursor", description="Of the links `next` and `previous`."),
    OpenApiParameter("limit", int, description="Results of a page, 1 to 200; 50 by default."),
]
_STARTED = PolymorphicProxySerializer(
    component_name="OptimisationStarted",
    serializers=[AnalysisSerializer, RecommendationDetailSerializer],
    resource_type_field_name=None,
)


def _replays() -> Prefetch[Any]:
    items = Prefetch("items", queryset=ReplayItem.objects.order_by("id"))
    newest = Replay.objects.select_related("deployment").order_by("-id")
    return Prefetch("replays", queryset=newest.prefetch_related(items))


class Optimisation(TenantView):
    serializer_class = RecommendationSerializer
    filterset_class = RecommendationFilter

    def get_queryset(self) -> QuerySet[Recommendation]:
        return Recommendation.objects.filter(tenant_id=self.tenant.pk).with_paid().defer("evidence")

    @extend_schema(
        operation_id="list_recommendations",
        tags=_TAGS,
        filters=True,
        parameters=_PAGING,
        responses=RecommendationPageSerializer,
        examples=[PAGE],
    )
    def get(self, request: Request) -> Response:
        """What might be had for less, newest first; what is expected of it, and what was measured."""
        answer = self.page(self.get_queryset())
        latest = Analysis.objects.filter(tenant_id=self.tenant.pk).order_by("-id").first()
        answer.data["totals"] = TotalsSerializer(savings(tenant_id=self.tenant.pk)).data
        answer.data["analysis"] = AnalysisSerializer(latest).data if latest else None
        return answer


class RecommendationView(TenantView):
    serializer_class = RecommendationDetailSerializer

    def detail(self, recommendation_id: UUID) -> dict[str, Any]:
        """Raises NotFoundError."""
        mine = Recommendation.objects.filter(tenant_id=self.tenant.pk)
        rows = mine.with_paid().prefetch_related(_replays())
        row = rows.filter(pk=recommendation_id).first()
        if row is None:
            raise NotFoundError("There is no such recommendation.")
        return dict(self.get_serializer(row).data)


class OptimisationDetail(RecommendationView):
    @extend_schema(
        operation_id="recommendation",
        tags=_TAGS,
        examples=[VERIFIED],
    )
    def get(self, request: Request, recommendation_id: UUID) -> Response:
        """A recommendation with its evidence, and the replays that have verified or rejected it."""
        return Response(self.detail(recommendation_id))


class Optimise(RecommendationView):
    @extend_schema(
        operation_id="optimise",
        tags=_TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=OptimiseRequest,
        responses={
            200: RecommendationDetailSerializer,
            202: OpenApiResponse(_STARTED, "An analysis, or a replay, which the workers do."),
        },
        examples=[*REQUESTS, *ANSWERS],
    )
    def post(self, request: Request) -> Response:
        """Analyse anew; or verify, apply, revert or dismiss a recommendation.

        Applying sets the tenant's own preference for that kind of task, and keeps what was set before;
        reverting sets that again. A cheaper model is applied only after a replay has verified it.
        """
        body = OptimiseRequest(data=request.data)
        body.is_valid(raise_exception=True)
        return self.once(lambda: self._do(body))

    def _do(self, body: OptimiseRequest) -> Response:
        action, now, by = body.validated_data["action"], timezone.now(), str(self.principal)
        tenant_id = self.tenant.pk
        if action == Action.ANALYSE:
            analysis = analyses.request_analysis(tenant_id=tenant_id, by=by)
            hint_analysis(analysis.pk)
            return Response(AnalysisSerializer(analysis).data, status=status.HTTP_202_ACCEPTED)
        recommendation_id = body.validated_data["recommendation"]
        if action == Action.VERIFY:
            begun = replays.verify_recommendation(
                recommendation_id=recommendation_id,
                tenant_id=tenant_id,
                wanted=body.wanted,
                now=now,
                by=by,
                user_id=self.principal.user_id,
            )
            for each in begun.generations:
                hint_generation(each)
            return Response(self.detail(recommendation_id), status=status.HTTP_202_ACCEPTED)
        _ACTIONS[action](recommendation_id=recommendation_id, tenant_id=tenant_id, by=by, now=now)
        return Response(self.detail(recommendation_id))


_ACTIONS = {
    Action.APPLY: recommendations.apply_recommendation,
    Action.REVERT: recommendations.revert_recommendation,
    Action.DISMISS: recommendations.dismiss_recommendation,
}
