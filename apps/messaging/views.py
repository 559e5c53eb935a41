from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import InvalidInputError, NotFoundError
from apps.messaging import serializers
from apps.messaging.filters import AccountFilter, FanFilter, MessageFilter
from apps.messaging.models import Account, Fan, Message, Platform
from apps.messaging.services import connections, fans, messages
from apps.tenants.permissions import CREATORS
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
_FAN = OpenApiExample(
    "A fan",
    request_only=True,
    value={
        "external_id": "87654321",
        "name": "Sam",
        "attributes": {"city": "Lyon"},
        "spend": "120.50",
        "last_purchase_at": "2026-01-31T18:00:00Z",
        "consent": True,
    },
)
_MESSAGE = OpenApiExample(
    "A message",
    request_only=True,
    value={
        "account": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
        "fan": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
        "text": "New photographs tonight!",
        "price": "12.00",
        "media": [],
        "not_before": None,
        "priority": "high",
    },
)


class Accounts(TenantView):
    serializer_class = serializers.AccountSerializer
    filterset_class = AccountFilter
    queryset = Account.objects.all()

    @extend_schema(operation_id="list_accounts", responses=serializers.AccountSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The connected accounts, newest first."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="connect_account",
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.AccountRequest,
        responses={201: serializers.AccountSerializer},
        examples=[_ACCOUNT],
    )
    def post(self, request: Request) -> Response:
        """Connect a creator's account on a platform."""
        return self.once(self._create)

    def _create(self) -> Response:
        body = serializers.AccountRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        account = connections.connect_account(
            tenant_id=self.tenant.pk,
            platform=body.validated_data["platform"],
            external_id=body.validated_data["external_id"],
            **body.columns(),
        )
        return Response(self.get_serializer(account).data, status=status.HTTP_201_CREATED)


class AccountDetail(TenantView):
    serializer_class = serializers.AccountSerializer

    @extend_schema(operation_id="account")
    def get(self, request: Request, account_id: UUID) -> Response:
        """An account."""
        return Response(self.get_serializer(_account(account_id)).data)

    @extend_schema(
        operation_id="change_account",
        request=serializers.AccountChanges,
        responses=serializers.AccountSerializer,
    )
    def patch(self, request: Request, account_id: UUID) -> Response:
        """Change what is given. Platform and external id stay: another account is another one."""
        body = serializers.AccountChanges(data=request.data)
        body.is_valid(raise_exception=True)
        account = connections.change_account(account_id=account_id, now=timezone.now(), **body.columns())
        return Response(self.get_serializer(account).data)


class Fans(TenantView):
    serializer_class = serializers.FanSerializer
    filterset_class = FanFilter
    queryset = Fan.objects.all()
    write_roles = CREATORS

    @extend_schema(operation_id="list_fans", tags=["fans"], responses=serializers.FanSerializer(many=True))
    def get(self, request: Request, account_id: UUID) -> Response:
        """An account's fans, newest first."""
        return self.page(self.get_queryset().filter(account=_account(account_id)))

    @extend_schema(
        operation_id="create_fan",
        tags=["fans"],
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.FanRequest,
        responses={201: serializers.FanSerializer},
        examples=[_FAN],
    )
    def post(self, request: Request, account_id: UUID) -> Response:
        """Add a fan to an account."""
        return self.once(lambda: self._create(account_id))

    def _create(self, account_id: UUID) -> Response:
        body = serializers.FanRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        fan = fans.create_fan(account=_account(account_id), **body.validated_data)
        return Response(self.get_serializer(fan).data, status=status.HTTP_201_CREATED)


class OnlyFansMessages(TenantView):
    serializer_class = serializers.MessageSerializer
    write_roles = CREATORS

    @extend_schema(
        operation_id="create_message",
        tags=["messages"],
        parameters=[IDEMPOTENCY_KEY],
        request=serializers.MessageRequest,
        responses={201: serializers.MessageSerializer},
        examples=[_MESSAGE],
    )
    def post(self, request: Request) -> Response:
        """Queue a message to one fan. It is sent as soon as the account's limit allows."""
        return self.once(self._create)

    def _create(self) -> Response:
        body = serializers.MessageRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        account, fan = _recipient(account_id=given.pop("account"), fan_id=given.pop("fan"))
        now = timezone.now()
        not_before = given.pop("not_before") or now
        message = messages.enqueue_message(
            tenant_id=self.tenant.pk, account=account, fan=fan, not_before=not_before, now=now, **given
        )
        return Response(self.get_serializer(message).data, status=status.HTTP_201_CREATED)


class Messages(TenantView):
    serializer_class = serializers.MessageSerializer
    filterset_class = MessageFilter

    def get_queryset(self) -> QuerySet[Message]:
        return Message.objects.select_related("outbox")

    @extend_schema(operation_id="list_messages", responses=serializers.MessageSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Messages, single ones and campaigns', newest first."""
        return self.page(self.get_queryset())


class MessageDetail(TenantView):
    serializer_class = serializers.MessageSerializer

    @extend_schema(operation_id="message")
    def get(self, request: Request, message_id: UUID) -> Response:
        """A message and what has become of it."""
        message = Message.objects.select_related("outbox").filter(pk=message_id).first()
        if message is None:
            raise NotFoundError("There is no such message.")
        return Response(self.get_serializer(message).data)


def _account(account_id: UUID, *, field: str = "") -> Account:
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        text = "There is no such account."
        raise NotFoundError(text, fields={field: text} if field else None)
    return account


def _recipient(*, account_id: UUID, fan_id: UUID) -> tuple[Account, Fan]:
    """Whom a message is from and to. Raises NotFoundError, or InvalidInputError for another platform."""
    account = _account(account_id, field="account")
    if account.platform != Platform.ONLYFANS:
        text = f"This account is on {account.get_platform_display()}, not on OnlyFans."
        raise InvalidInputError(text, code="other_platform", fields={"account": text})
    fan = Fan.objects.filter(pk=fan_id, account=account).first()
    if fan is None:
        text = "This account has no such fan."
        raise NotFoundError(text, fields={"fan": text})
    return account, fan
