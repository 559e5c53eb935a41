from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.analytics.filters import RevenueFilter
from apps.analytics.models import RevenueEntry
from apps.analytics.serializers.revenue import RevenueBatch, RevenueSerializer, TakenSerializer, told
from apps.analytics.services.revenue import record_revenue
from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.tenants.views import TenantView

_BATCH = OpenApiExample(
    "A purchase and a refund",
    request_only=True,
    value={
        "entries": [
            {
                "external_id": "tx-1001",
                "account": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
                "message": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
                "occurred_at": "2026-03-14T18:26:53Z",
                "amount": "12.00",
                "kind": "purchase",
            },
            {
                "external_id": "tx-0990-back",
                "account": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
                "occurred_at": "2026-03-14T19:02:11Z",
                "amount": {"amount": "-8.50", "currency": "USD"},
                "kind": "refund",
            },
        ]
    },
)
_TAKEN = OpenApiExample(
    "One was known", response_only=True, status_codes=["201"], value={"created": 1, "known": 1}
)


class Revenue(TenantView):
    serializer_class = RevenueSerializer
    filterset_class = RevenueFilter

    def get_queryset(self) -> QuerySet[RevenueEntry]:
        return RevenueEntry.objects.filter(tenant_id=self.tenant.pk)

    @extend_schema(operation_id="list_revenue", tags=["analytics"], responses=RevenueSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Revenue that was told, the latest told first."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="tell_revenue",
        tags=["analytics"],
        parameters=[IDEMPOTENCY_KEY],
        request=RevenueBatch,
        responses={201: TakenSerializer},
        examples=[_BATCH, _TAKEN],
    )
    def post(self, request: Request) -> Response:
        """Tell what accounts have earned: up to 1,000 entries, all of them or none.

        Each is entered once by its `external_id`, however often it is told. One that says something else than
        before is refused with 409.
        """
        return self.once(self._record)

    def _record(self) -> Response:
        body = RevenueBatch(data=self.request.data, context={"now": timezone.now()})
        body.is_valid(raise_exception=True)
        entries = [told(each) for each in body.validated_data["entries"]]
        taken = record_revenue(tenant_id=self.tenant.pk, told=entries)
        return Response(TakenSerializer(taken).data, status=status.HTTP_201_CREATED)
