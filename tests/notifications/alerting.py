"""Alerts and targets as tests make them."""

from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.notifications.models import Alert, Channel, Delivery, NotificationTarget
from apps.notifications.services import sending
from apps.notifications.services.alerts import raise_alert
from apps.notifications.services.target_changes import prepare
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction


def target(tenant: Tenant | None, channel: Channel, place: str, **fields: Any) -> NotificationTarget:
    column = "address" if channel == Channel.EMAIL else "url"
    values = {"name": f"Ada's {channel}", column: place, **fields}
    made = NotificationTarget(tenant_id=tenant.pk if tenant else None, channel=channel, **values)
    prepare(made)
    with system_transaction():
        made.save()
    return made


def alert(tenant: Tenant, *, now: datetime | None = None, **fields: Any) -> Alert | None:
    values = {"rule": "daily_cost", "subject": "", "period": "2026-03-01", "message": "More than $50."}
    with tenant_transaction(tenant):
        return raise_alert(tenant_id=tenant.pk, now=now or timezone.now(), **{**values, **fields})


def send(*channels: Channel, now: datetime | None = None) -> int:
    """What is due on these channels, or on all."""
    return sum(
        sending.send_due(channel=channel, clock=lambda: now or timezone.now())
        for channel in channels or Channel
    )


def deliveries(**lookups: Any) -> list[Delivery]:
    with system_transaction():
        return list(Delivery.objects.select_related("alert").filter(**lookups).order_by("id"))


def delivery(**lookups: Any) -> Delivery:
    (found,) = deliveries(**lookups)
    return found


def alerts(rule: str, **lookups: Any) -> list[Alert]:
    with system_transaction():
        return list(Alert.objects.filter(rule=rule, **lookups).order_by("id"))
