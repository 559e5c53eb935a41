from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.messaging.filters import AccountFilter
from apps.messaging.models import Account
from apps.messaging.serializers.accounts import (
    AccountChanges,
    AccountRequest,
    AccountSerializer,
    PausedAccountSerializer,
    PauseRequest,
)
from apps.messaging.services import connections
from apps.messaging.services.accounts import pause_account, resume_account
from apps.messaging.views.scope import account_of
from apps.tenants.views import TenantView

_ACCOUNT = OpenApiExample(
    "An account",
    request_only=True,
    value={
        "platform": "onlyfans",
        "external_id": "12345678",
        "name": "Luna",
        "credential": "the platform's token",
        "limit": {"count": 10, "seconds": 60},
        "time_zone": "Europe/Paris",
        "quiet_hours": {"start": "23:00", "end": "08:00"},
    },
)


class Accounts(TenantView):
    serializer_class = AccountSerializer
    filterset_class = AccountFilter
    queryset = Account.objects.all()

    @extend_schema(operation_id="list_accounts", responses=AccountSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The connected accounts, newest first."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="connect_account",
        parameters=[IDEMPOTENCY_KEY],
        request=AccountRequest,
        responses={201: AccountSerializer},
        examples=[_ACCOUNT],
    )
    def post(self, request: Request) -> Response:
        """Connect a creator's account on a platform."""
        return self.once(self._create)

    def _create(self) -> Response:
        body = AccountRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        account = connections.connect_account(
            tenant_id=self.tenant.pk,
            platform=body.validated_data["platform"],
            external_id=body.validated_data["external_id"],
            **body.columns(),
        )
        return Response(self.get_serializer(account).data, status=status.HTTP_201_CREATED)


class AccountDetail(TenantView):
    serializer_class = AccountSerializer

    @extend_schema(operation_id="account")
    def get(self, request: Request, account_id: UUID) -> Response:
        """An account."""
        return Response(self.get_serializer(account_of(account_id)).data)

    @extend_schema(
        operation_id="change_account",
        request=AccountChanges,
        responses=AccountSerializer,
    )
    def patch(self, request: Request, account_id: UUID) -> Response:
        """Change what is given. Platform and external id stay: another account is another one."""
        body = AccountChanges(data=request.data)
        body.is_valid(raise_exception=True)
        account = connections.change_account(account_id=account_id, now=timezone.now(), **body.columns())
        return Response(self.get_serializer(account).data)


class PauseAccount(TenantView):
    serializer_class = PausedAccountSerializer

    @extend_schema(operation_id="pause_account", request=PauseRequest, responses=PausedAccountSerializer)
    def post(self, request: Request, account_id: UUID) -> Response:
        """Send nothing more from it; `in_flight` says how many messages are on their way already.

        One that is paused already stays so, with the reason that it has.
        """
        body = PauseRequest(data=request.data)
        body.is_valid(raise_exception=True)
        account = account_of(account_id)
        in_flight = pause_account(account=account, now=timezone.now(), **body.validated_data)
        return Response(PausedAccountSerializer(account, context={"in_flight": in_flight}).data)


class ResumeAccount(TenantView):
    serializer_class = AccountSerializer
    bodiless = True

    @extend_schema(operation_id="resume_account", request=None, responses=AccountSerializer)
    def post(self, request: Request, account_id: UUID) -> Response:
        """Let it send again, at once if its limits allow. One that isn't paused goes on as it does."""
        account = account_of(account_id)
        resume_account(account=account, now=timezone.now())
        return Response(self.get_serializer(account).data)
