from contextlib import suppress
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.errors import ConflictError, NotFoundError
from apps.notifications.filters import AlertFilter
from apps.notifications.models import Alert, Delivery
from apps.notifications.serializers.alerts import AlertSerializer, MuteRequest
from apps.notifications.services import alerts
from apps.tenants.models import Tenant
from apps.tenants.views import TenantView

_ALERT = OpenApiExample(
    "A budget at 80 %",
    response_only=True,
    value={
        "id": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
        "rule": "budget_threshold",
        "level": "warning",
        "subject": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
        "period": "2026-03-01 80% of 50.00",
        "message": "80 % of the budget of 50.00 USD a month are spent: 41.20 USD since 2026-03-01.",
        "data": {
            "limit": "50.00",
            "spent": "41.20",
            "currency": "USD",
            "percent": 80,
            "scope": "tenant",
            "scope_id": None,
            "provider": None,
            "budget_period": "month",
        },
        "created_at": "2026-03-14T09:26:53Z",
        "acknowledged_at": None,
        "acknowledged_by": "",
        "muted_until": None,
        "deliveries": [
            {
                "channel": "email",
                "target": "me@example.com",
                "state": "sent",
                "attempts": 1,
                "created_at": "2026-03-14T09:26:53Z",
                "due_at": "2026-03-14T09:26:53Z",
                "sent_at": "2026-03-14T09:26:58Z",
                "error": "",
            }
        ],
    },
)
_MUTES = [
    OpenApiExample("For a day", request_only=True, value={"hours": 24}),
    OpenApiExample("Until a time", request_only=True, value={"until": "2026-04-01T00:00:00Z"}),
]
_TAGS = ["costs"]
_NO_ALERT = "There is no such alert."


def _alerts(tenant: Tenant) -> QuerySet[Alert]:
    rows = Alert.objects.filter(tenant_id=tenant.pk).with_mute(now=timezone.now())
    return rows.prefetch_related(Prefetch("deliveries", queryset=Delivery.objects.order_by("id")))


class Alerts(TenantView):
    serializer_class = AlertSerializer
    filterset_class = AlertFilter

    def get_queryset(self) -> QuerySet[Alert]:
        return _alerts(self.tenant)

    @extend_schema(
        operation_id="list_alerts", tags=_TAGS, responses=AlertSerializer(many=True), examples=[_ALERT]
    )
    def get(self, request: Request) -> Response:
        """What people should know, newest first, and to whom it was sent."""
        return self.page(self.get_queryset())


class AlertDetail(TenantView):
    serializer_class = AlertSerializer

    @extend_schema(operation_id="alert", tags=_TAGS, examples=[_ALERT])
    def get(self, request: Request, alert_id: UUID) -> Response:
        """An alert: what was found, who looks after it, and what became of each of its deliveries."""
        alert = _alerts(self.tenant).filter(pk=alert_id).first()
        if alert is None:
            raise NotFoundError(_NO_ALERT)
        return Response(self.get_serializer(alert).data)


class AlertView(TenantView):
    serializer_class = AlertSerializer

    def alert(self, alert_id: UUID) -> Alert:
        """Locked, so that two who act on it come one after the other. Raises NotFoundError."""
        alert = _alerts(self.tenant).filter(pk=alert_id).select_for_update().first()
        if alert is None:
            raise NotFoundError(_NO_ALERT)
        return alert


class AcknowledgeAlert(AlertView):
    bodiless = True

    @extend_schema(
        operation_id="acknowledge_alert",
        tags=_TAGS,
        request=None,
        responses=AlertSerializer,
        examples=[_ALERT],
    )
    def post(self, request: Request, alert_id: UUID) -> Response:
        """Say that somebody looks after it. One that is acknowledged already stays as it is."""
        alert = self.alert(alert_id)
        with suppress(ConflictError):
            alerts.acknowledge_alert(alert=alert, by=str(self.principal), now=timezone.now())
        return Response(self.get_serializer(alert).data)


class MuteAlert(AlertView):
    @extend_schema(
        operation_id="mute_alert",
        tags=_TAGS,
        request=MuteRequest,
        responses=AlertSerializer,
        examples=[*_MUTES, _ALERT],
    )
    def post(self, request: Request, alert_id: UUID) -> Response:
        """Send nothing of its rule and subject until then; what is raised meanwhile is in the list.

        Muting again sets another end, which may be 365 days away at most.
        """
        now = timezone.now()
        body = MuteRequest(data=request.data, context={"now": now})
        body.is_valid(raise_exception=True)
        alerts.mute_alert(alert=self.alert(alert_id), until=body.end(), now=now)
        return Response(self.get_serializer(self.alert(alert_id)).data)


class UnmuteAlert(AlertView):
    bodiless = True

    @extend_schema(
        operation_id="unmute_alert", tags=_TAGS, request=None, responses=AlertSerializer, examples=[_ALERT]
    )
    def post(self, request: Request, alert_id: UUID) -> Response:
        """Send again what its rule and subject come to; what was held back meanwhile isn't made up for.

        One that isn't muted stays as it is.
        """
        alerts.unmute_alert(alert=self.alert(alert_id))
        return Response(self.get_serializer(self.alert(alert_id)).data)
