from uuid import UUID

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.messaging.filters import FanFilter
from apps.messaging.models import Fan
from apps.messaging.serializers.fans import FanRequest, FanSerializer
from apps.messaging.services.fans import create_fan
from apps.messaging.views.scope import account_of
from apps.tenants.permissions import CREATORS
from apps.tenants.views import TenantView

_FAN = OpenApiExample(
    "A fan",
    request_only=True,
    value={
        "external_id": "87654321",
        "name": "Sam",
        "attributes": {"city": "Lyon"},
        "spend": "120.50",
        "last_purchase_at": "2026-01-31T18:00:00Z",
        "time_zone": "Europe/Paris",
        "consent": True,
    },
)


class Fans(TenantView):
    serializer_class = FanSerializer
    filterset_class = FanFilter
    queryset = Fan.objects.all()
    write_roles = CREATORS

    @extend_schema(operation_id="list_fans", tags=["fans"], responses=FanSerializer(many=True))
    def get(self, request: Request, account_id: UUID) -> Response:
        """An account's fans, newest first."""
        return self.page(self.get_queryset().filter(account=account_of(account_id)))

    @extend_schema(
        operation_id="create_fan",
        tags=["fans"],
        parameters=[IDEMPOTENCY_KEY],
        request=FanRequest,
        responses={201: FanSerializer},
        examples=[_FAN],
    )
    def post(self, request: Request, account_id: UUID) -> Response:
        """Add a fan to an account."""
        return self.once(lambda: self._create(account_id))

    def _create(self, account_id: UUID) -> Response:
        body = FanRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        fan = create_fan(account=account_of(account_id), **body.validated_data)
        return Response(self.get_serializer(fan).data, status=status.HTTP_201_CREATED)
