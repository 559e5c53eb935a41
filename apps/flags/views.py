from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.flags.models import Flag
from apps.flags.serializers import FlagRequest, FlagSerializer
from apps.flags.services import set_override
from apps.tenants.permissions import OWNERS
from apps.tenants.views import TenantView

_OFF = OpenApiExample("Off", request_only=True, value={"name": "hybrid_orchestrator", "enabled": False})
_ANSWER = OpenApiExample(
    "Switched off",
    response_only=True,
    value={
        "name": "hybrid_orchestrator",
        "description": "Generations may go to any provider.",
        "enabled": False,
        "source": "override",
    },
)


class FeatureFlags(TenantView):
    serializer_class = FlagSerializer
    queryset = Flag.objects.all()
    filterset_class = FilterSet  # none, but pages
    read_roles = write_roles = OWNERS

    @extend_schema(operation_id="list_feature_flags", responses=FlagSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The features that can be switched, and whether they are on for the caller's tenant. Owners only."""
        return self.page(Flag.objects.for_tenant(self.tenant.pk))

    @extend_schema(
        operation_id="set_feature_flag",
        parameters=[IDEMPOTENCY_KEY],
        request=FlagRequest,
        responses={200: FlagSerializer, 404: OpenApiResponse()},
        examples=[_OFF, _ANSWER],
    )
    def post(self, request: Request) -> Response:
        """Switch a feature on or off for the caller's tenant, whatever the roll-out says. Owners only."""
        body = FlagRequest(data=request.data)
        body.is_valid(raise_exception=True)

        def switch() -> Response:
            set_override(tenant_id=self.tenant.pk, **body.validated_data)
            flag = Flag.objects.for_tenant(self.tenant.pk).get(name=body.validated_data["name"])
            return Response(self.get_serializer(flag).data)

        return self.once(switch)
