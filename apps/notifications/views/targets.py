"""Where the tenant wants to hear of alerts."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import NotFoundError
from apps.notifications.channels.http import place_problem
from apps.notifications.filters import TargetFilter
from apps.notifications.hints import hint_deliveries
from apps.notifications.models import Alert, NotificationTarget
from apps.notifications.serializers.alerts import AlertSerializer
from apps.notifications.serializers.targets import (
    SavedTargetSerializer,
    TargetChanges,
    TargetRequest,
    TargetSerializer,
    own_problems,
)
from apps.notifications.services.target_changes import SavedTarget, delete_target, save_target
from apps.notifications.services.targets import test_target
from apps.tenants.doors import tenant_transaction
from apps.tenants.permissions import OWNERS
from apps.tenants.views import TenantView

_ROW = {
    "id": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
    "channel": "webhook",
    "name": "On call",
    "address": "",
    "minimum_level": "critical",
    "muted_rules": ["daily_cost"],
    "digest_minutes": 0,
    "is_active": True,
    "created_at": "2026-03-14T09:26:53Z",
}
_TARGET = OpenApiExample("A webhook", response_only=True, value=_ROW)
_SAVED = OpenApiExample(
    "A webhook",
    response_only=True,
    value={**_ROW, "signing_key": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="},
)
_MAKE = [
    OpenApiExample(
        "E-mail, an hour's alerts in one",
        request_only=True,
        value={"channel": "email", "name": "Office", "address": "me@example.com", "digest_minutes": 60},
    ),
    OpenApiExample(
        "Slack",
        request_only=True,
        value={"channel": "slack", "name": "#alerts", "url": "https://hooks.slack.com/services/T0/B0/x"},
    ),
    OpenApiExample(
        "A webhook that is told of the worst alone",
        request_only=True,
        value={
            "channel": "webhook",
            "name": "On call",
            "url": "https://example.com/alerts",
            "minimum_level": "critical",
        },
    ),
]
_CHANGES = [
    OpenApiExample("Another signing key, made here", request_only=True, value={"signing_key": None}),
    OpenApiExample("Switch it off", request_only=True, value={"is_active": False}),
]
_TAGS = ["costs"]
# What an answer that is kept for its Idempotency-Key leaves out.
_SHOWN_ONCE = ("signing_key",)


class TargetView(TenantView):
    """Looks URLs up before its transactions, which wait for no network."""

    serializer_class = TargetSerializer
    write_roles = OWNERS
    begins_transaction = False

    def get_queryset(self) -> QuerySet[NotificationTarget]:
        rows = NotificationTarget.objects.filter(tenant_id=self.tenant.pk)
        return rows.defer("url", "signing_key").order_by("-id")

    def target(self, target_id: UUID) -> NotificationTarget:
        """Raises NotFoundError."""
        return self._one_of(self.get_queryset(), target_id)

    def locked(self, target_id: UUID) -> NotificationTarget:
        """So that two who change it come one after the other. Raises NotFoundError."""
        return self._one_of(self.get_queryset().select_for_update(no_key=True), target_id)

    def _one_of(self, rows: QuerySet[NotificationTarget], target_id: UUID) -> NotificationTarget:
        target = rows.filter(pk=target_id).first()
        if target is None:
            raise NotFoundError("There is no such target.")
        return target

    def url_refusal(self, given: dict[str, Any]) -> ValidationError | None:
        """Asks the network where a URL leads, if there is one."""
        problem = place_problem(given["url"]) if "url" in given else ""
        return ValidationError({"url": [problem]}) if problem else None

    def saved(self, saved: SavedTarget, **options: Any) -> Response:
        serializer = SavedTargetSerializer(saved.target, context={"made_key": saved.made_key})
        return Response(serializer.data, **options)


class Targets(TargetView):
    filterset_class = TargetFilter

    @extend_schema(
        operation_id="list_alert_targets",
        tags=_TAGS,
        responses=TargetSerializer(many=True),
        examples=[_TARGET],
    )
    def get(self, request: Request) -> Response:
        """Where alerts go, newest first. URLs and signing keys aren't shown.

        A channel without a target here goes where the deployment's environment says; e-mail, where that says
        nothing, to the tenant's owners.
        """
        with tenant_transaction(self.tenant):
            return self.page(self.get_queryset())

    @extend_schema(
        operation_id="make_alert_target",
        tags=_TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=TargetRequest,
        responses={201: SavedTargetSerializer},
        examples=[*_MAKE, _SAVED],
    )
    def post(self, request: Request) -> Response:
        """Have alerts sent to another place: an e-mail address, a Slack channel or a webhook.

        A webhook's signing key is made here unless one is given, and shown in this answer alone: an answer
        that is repeated for its Idempotency-Key doesn't have it. A URL that leads into a private network is
        refused.
        """
        body = TargetRequest(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        refusal = self.url_refusal(given)
        with tenant_transaction(self.tenant):
            return self.once(lambda: self._create(given, refusal), shown_once=_SHOWN_ONCE)

    def _create(self, given: dict[str, Any], refusal: ValidationError | None) -> Response:
        # Not before: a target that was made already is answered with, wherever its URL leads by now.
        if refusal:
            raise refusal
        target = NotificationTarget(tenant_id=self.tenant.pk, **given)
        saved = save_target(target=target)
        target.refresh_from_db(fields=["created_at"])
        return self.saved(saved, status=status.HTTP_201_CREATED)


class TargetDetail(TargetView):
    @extend_schema(operation_id="alert_target", tags=_TAGS, examples=[_TARGET])
    def get(self, request: Request, target_id: UUID) -> Response:
        """A target. Its URL and signing key aren't shown."""
        with tenant_transaction(self.tenant):
            return Response(self.get_serializer(self.target(target_id)).data)

    @extend_schema(
        operation_id="change_alert_target",
        tags=_TAGS,
        request=TargetChanges,
        responses=SavedTargetSerializer,
        examples=[*_CHANGES, _SAVED],
    )
    def patch(self, request: Request, target_id: UUID) -> Response:
        """Change what is given. The channel stays: another target is made for another one."""
        body = TargetChanges(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        if refusal := self.url_refusal(given):
            raise refusal
        with tenant_transaction(self.tenant):
            target = self.locked(target_id)
            if problems := own_problems(target.channel, body.initial_data):
                raise ValidationError(problems)
            for name, value in given.items():
                setattr(target, name, value)
            return self.saved(save_target(target=target, columns=given))

    @extend_schema(operation_id="delete_alert_target", tags=_TAGS, responses={204: None})
    def delete(self, request: Request, target_id: UUID) -> Response:
        """Send nothing there any more: what is on its way fails. What was sent stays listed.

        What is being sent at this moment may arrive all the same, and its delivery then says so.
        """
        with tenant_transaction(self.tenant):
            delete_target(target=self.target(target_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TestTarget(TargetView):
    bodiless = True

    @extend_schema(
        operation_id="test_alert_target",
        tags=_TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=None,
        responses={202: AlertSerializer},
    )
    def post(self, request: Request, target_id: UUID) -> Response:
        """Send a harmless alert to this target alone, the way all go, but tried for five minutes only.

        What became of it is in its `deliveries`, under /api/v2/costs/alerts/{id}.
        """
        with tenant_transaction(self.tenant):
            return self.once(lambda: self._test(target_id))

    def _test(self, target_id: UUID) -> Response:
        now = timezone.now()
        alert = test_target(target=self.target(target_id), now=now)
        hint_deliveries()
        left = Alert.objects.with_mute(now=now).get(pk=alert.pk)
        return Response(AlertSerializer(left).data, status=status.HTTP_202_ACCEPTED)
