from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import EMPTY, TENANT, Badge, Column, RowLink, link
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.notifications.channels.email import kept_mail
from apps.notifications.hints import hint_deliveries
from apps.notifications.models import Channel, Delivery, DeliveryState
from apps.notifications.services.deliveries import send_again

_SETTLED = {DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.MUTED}


class KeptMail(Column):
    """A link to the file that a message is in, where there was no mail server for it."""

    def __call__(self, delivery: Any) -> str:
        if delivery.channel != Channel.EMAIL or delivery.state != DeliveryState.SENT:
            return EMPTY
        if delivery.envelope_id is None or not kept_mail(delivery.envelope_id).exists():
            return EMPTY
        return link(reverse("admin:notifications_delivery_mail", args=[delivery.pk]), "Read it")


MESSAGE = KeptMail("message")


def _send_again(delivery: Delivery, order: Order) -> None:
    send_again(delivery=delivery, now=order.now)
    hint_deliveries()


@admin.register(Delivery)
class DeliveryAdmin(LongTableAdmin):
    empty_hint = "Each alert is delivered once to every e-mail, Slack channel and webhook set up for it."
    list_display = [
        "__str__",
        Badge("state", "state"),
        RowLink("alert", "alert"),
        TENANT,
        "error",
        "created_at",
    ]
    list_filter = [MadeInFilter, "state", "channel"]
    list_select_related = ["alert"]
    search_exact = ["target"]
    search_ids = ["pk", "alert_id"]
    search_help_text = "Target, or 8+ digits of an id"
    operations = [
        Operation(
            "send_again",
            "Send again",
            "What was sent already is sent as another message; what may have arrived keeps its id.",
            _send_again,
            "On its way",
            icon="replay",
            when=lambda delivery: delivery.state in _SETTLED,
        )
    ]
    fieldsets = [
        (None, {"fields": [TENANT, "alert", ("channel", "target", "destination")]}),
        (
            "Way",
            {
                "fields": [
                    (Badge("state", "state"), "attempts", "interruptions", MESSAGE),
                    ("due_at", "give_up_at", "lease_expires_at", "sent_at"),
                    "envelope_id",
                    "error",
                ]
            },
        ),
    ]

    def get_urls(self) -> list[Any]:
        mail = self.admin_site.admin_view(self.mail)
        return [
            path("<uuid:delivery_id>/mail/", mail, name="notifications_delivery_mail"),
            *super().get_urls(),
        ]

    def mail(self, request: HttpRequest, delivery_id: UUID) -> HttpResponse:
        """The message's source, as text: nothing in it is run or loaded."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        delivery = Delivery.objects.filter(pk=delivery_id, channel=Channel.EMAIL).first()
        if delivery is None or delivery.envelope_id is None:
            raise Http404
        try:
            content = kept_mail(delivery.envelope_id).read_bytes()
        except FileNotFoundError:
            raise Http404("The file isn't on this machine.") from None
        return HttpResponse(
            content,
            content_type="text/plain; charset=utf-8",
            headers={"X-Content-Type-Options": "nosniff"},
        )
