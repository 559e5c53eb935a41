"""Who hears of an alert: the tenant's targets; for a channel of which it has none, the environment's.

E-mail that neither of them names goes to the tenant's owners, so that somebody hears from the start.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, OuterRef

from apps.common.errors import ConflictError
from apps.notifications.channels.base import Address
from apps.notifications.models import (
    Alert,
    Channel,
    Delivery,
    DeliveryState,
    Level,
    NotificationTarget,
    TargetQuerySet,
)
from apps.notifications.rules import TEST
from apps.tenants.models import Membership, Role

# How long a delivery is tried.
PATIENCE = timedelta(days=1)
DEFAULT_LEVEL = Level.WARNING
# What a delivery calls a target whose URL only the environment knows.
_SLACK = "SLACK_WEBHOOK_URL"
REMOVED = "The target was removed."
# Without its end, which may change: the alert says it.
MUTED = "Its rule and subject were muted."


def address(alert: Alert, *, now: datetime, muted: bool = False) -> int:
    """Leave a delivery for each target that wants to hear of it; those that there are stay."""
    deliveries = [
        Delivery(
            tenant_id=alert.tenant_id,
            alert=alert,
            destination=target,
            channel=channel,
            target=name,
            due_at=now + wait,
            give_up_at=now + wait + PATIENCE,
        )
        for channel, name, target, wait in _wanted(alert)
    ]
    if muted:
        for delivery in deliveries:
            delivery.state, delivery.error = DeliveryState.MUTED, MUTED
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    return len(deliveries)


def place_of(delivery: Delivery) -> Address:
    """Where it goes, as of now. Raises ConflictError, for a person to read, if there is nowhere."""
    target = delivery.destination
    if target is not None:
        if not target.is_active:
            raise ConflictError("The target is switched off.")
        return Address(name=delivery.target, **_secrets(target))
    if delivery.channel == Channel.EMAIL and _is_default(delivery):
        return Address(name=delivery.target, place=delivery.target)
    if delivery.channel == Channel.SLACK and delivery.target == _SLACK and settings.SLACK_WEBHOOK_URL:
        return Address(name=delivery.target, place=settings.SLACK_WEBHOOK_URL)
    raise ConflictError(REMOVED)


def _is_default(delivery: Delivery) -> bool:
    return delivery.target in settings.COST_ALERT_EMAIL or delivery.target in _owners(delivery.tenant_id)


def _owners(tenant_id: UUID | None) -> list[str]:
    """The e-mail addresses of its owners; the platform has none."""
    if tenant_id is None:
        return []
    owners = Membership.objects.filter(tenant_id=tenant_id, role=Role.OWNER, user__is_active=True)
    return list(owners.order_by("id").values_list("user__email", flat=True))


def _secrets(target: NotificationTarget) -> dict[str, str]:
    if target.channel == Channel.EMAIL:
        return {"place": target.address}
    try:
        return {"place": target.url, "key": target.signing_key}
    except ImproperlyConfigured as error:
        raise ConflictError(str(error)) from error


def test_target(*, target: NotificationTarget, now: datetime) -> Alert:
    """Send a harmless alert to this target alone, the way all go. It is acknowledged from the start.

    It is tried for five minutes: whoever tests wants to know now.

    Raises ConflictError if the target is switched off, or was removed.
    """
    if not any(_without_secrets().filter(pk=target.pk).held()):
        raise ConflictError(REMOVED)
    if not target.is_active:
        raise ConflictError("It is switched off, so nothing would be sent to it.")
    alert = Alert.objects.create(
        tenant_id=target.tenant_id,
        rule=TEST,
        subject=str(target.pk),
        period=now.strftime("%Y-%m-%d %H:%M:%S.%f"),
        level=Level.INFO,
        message=f"This is a test of the target “{target.name}”. Nothing is wrong.",
        acknowledged_at=now,
    )
    Delivery.objects.create(
        tenant_id=target.tenant_id,
        alert=alert,
        destination=target,
        channel=target.channel,
        target=target.known_as,
        due_at=now,
        give_up_at=now + timedelta(minutes=5),
    )
    return alert


def _without_secrets() -> TargetQuerySet:
    """In one order, lest two who hold some of them wait for each other in a circle.

    Raising an alert must not fail of a key that can't decrypt their secrets.
    """
    return NotificationTarget.objects.defer("url", "signing_key").order_by("id")


def _wanted(alert: Alert) -> Iterator[tuple[str, str, NotificationTarget | None, timedelta]]:
    # Also under a name that it had before.
    told = Exists(Delivery.objects.filter(alert=alert, destination=OuterRef("pk")))
    mine = _without_secrets().filter(tenant_id=alert.tenant_id).annotate(is_told=told)
    level, covered = Level(alert.level), set()
    for target in mine.held():
        covered.add(target.channel)
        if (
            target.is_active
            and not target.is_told  # type: ignore[attr-defined]  # the annotation
            and level.rank >= Level(target.minimum_level).rank
            and alert.rule not in target.muted_rules
        ):
            waits = target.digest_minutes if level != Level.CRITICAL else 0
            yield target.channel, target.known_as, target, timedelta(minutes=waits)
    if level.rank < DEFAULT_LEVEL.rank:
        return
    if Channel.EMAIL not in covered:
        for each in settings.COST_ALERT_EMAIL or _owners(alert.tenant_id):
            yield Channel.EMAIL, each, None, timedelta()
    if Channel.SLACK not in covered and settings.SLACK_WEBHOOK_URL:
        yield Channel.SLACK, _SLACK, None, timedelta()
