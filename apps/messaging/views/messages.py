from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.clock import database_now
from apps.common.errors import NotFoundError
from apps.messaging.filters import MessageFilter
from apps.messaging.models import MessageRecord
from apps.messaging.serializers.messages import (
    MessageRequest,
    MessageSerializer,
    ReplayedSerializer,
    ReplayRequest,
)
from apps.messaging.services import messages, replay
from apps.messaging.services.replay import Replayed
from apps.messaging.views.scope import recipient
from apps.tenants.permissions import CREATORS
from apps.tenants.views import TenantView

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


_REPLAY = OpenApiExample(
    "A campaign's dead messages",
    request_only=True,
    value={"filter": {"campaign": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f", "reason": "attempts_exhausted"}},
)


class OnlyFansMessages(TenantView):
    serializer_class = MessageSerializer
    write_roles = CREATORS

    @extend_schema(
        operation_id="create_message",
        tags=["messages"],
        parameters=[IDEMPOTENCY_KEY],
        request=MessageRequest,
        responses={201: MessageSerializer},
        examples=[_MESSAGE],
    )
    def post(self, request: Request) -> Response:
        """Queue a message to one fan. It is sent as soon as the account's limit allows."""
        return self.once(self._create)

    def _create(self) -> Response:
        body = MessageRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        account, fan = recipient(account_id=given.pop("account"), fan_id=given.pop("fan"))
        now = timezone.now()
        not_before = given.pop("not_before") or now
        message = messages.enqueue_message(
            tenant_id=self.tenant.pk,
            user_id=self.principal.user_id,
            account=account,
            fan=fan,
            not_before=not_before,
            now=now,
            **given,
        )
        return Response(self.get_serializer(message).data, status=status.HTTP_201_CREATED)


class Messages(TenantView):
    serializer_class = MessageSerializer
    filterset_class = MessageFilter

    def get_queryset(self) -> QuerySet[MessageRecord]:
        return MessageRecord.objects.select_related("outbox")

    @extend_schema(operation_id="list_messages", responses=MessageSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Messages, single ones and campaigns', archived ones too, newest first."""
        return self.page(self.get_queryset())


class MessageDetail(TenantView):
    serializer_class = MessageSerializer

    @extend_schema(operation_id="message")
    def get(self, request: Request, message_id: UUID) -> Response:
        """A message and what has become of it."""
        message = MessageRecord.objects.select_related("outbox").filter(pk=message_id).first()
        if message is None:
            raise NotFoundError("There is no such message.")
        return Response(self.get_serializer(message).data)


class CancelMessage(TenantView):
    serializer_class = MessageSerializer
    write_roles = CREATORS
    bodiless = True

    @extend_schema(
        operation_id="cancel_message", tags=["messages"], request=None, responses=MessageSerializer
    )
    def post(self, request: Request, message_id: UUID) -> Response:
        """Take a queued message back. 409 where it is on its way already, or has come to another end.

        Cancelling twice changes nothing.
        """
        message = messages.cancel_message(message_id=message_id, now=timezone.now())
        return Response(self.get_serializer(message).data)


class ReplayMessages(TenantView):
    serializer_class = ReplayedSerializer

    @extend_schema(
        operation_id="replay_messages",
        tags=["messages"],
        request=ReplayRequest,
        responses={
            200: OpenApiResponse(ReplayedSerializer, "All that there were."),
            202: OpenApiResponse(ReplayedSerializer, "Some remain: go on with `next`."),
        },
        examples=[_REPLAY],
    )
    def post(self, request: Request) -> Response:
        """Queue dead messages again: the same words, under the same key. At most 1,000 in one call.

        A finished campaign's are sent too; it stays finished, and its counts follow. Those of a cancelled one
        are refused.
        """
        body = ReplayRequest(data=request.data)
        body.is_valid(raise_exception=True)
        given, now = body.validated_data, database_now()
        if "ids" in given:
            done = replay.replay_ids(message_ids=given["ids"], state=given["state"], now=now)
        else:
            chosen = _chosen(given.get("filter", {}))
            done = replay.replay_matching(matching=MessageRecord.objects.filter(**chosen), now=now)
        return _replayed(done, given, now=now)


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    lookups = {
        "account": "account_id",
        "campaign": "outbox__campaign_id",
        "reason": "reason",
        "created_after": "created_at__gte",
        "created_before": "created_at__lt",
        "finished_after": "finished_at__gte",
        "finished_before": "finished_at__lt",
    }
    return {lookups[name]: value for name, value in given.items()}


def _replayed(done: Replayed, given: dict[str, Any], *, now: datetime) -> Response:
    following = None
    if done.remaining:
        chosen = given.get("filter", {})
        # What dies again meanwhile isn't replayed for ever.
        until = min(now, chosen.get("finished_before", now))
        following = {"filter": {**chosen, "finished_before": until}}
    data = {
        "replayed": done.replayed,
        "refused": done.refused,
        "remaining": done.remaining,
        "next": following,
    }
    return Response(data, status=status.HTTP_202_ACCEPTED if following else status.HTTP_200_OK)
