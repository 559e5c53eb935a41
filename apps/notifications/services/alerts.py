"""Alerts: raised once, then seen to."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.text import storable
from apps.notifications.models import Alert, Delivery, DeliveryState, Level, NotificationTarget
from apps.notifications.services import targets

log = structlog.get_logger(__name__)

# Whoever mutes for good wants a target's muted rules.
LONGEST_MUTE = timedelta(days=365)


def raise_alert(
    *,
    tenant_id: UUID | None,
    rule: str,
    message: str,
    now: datetime,
    subject: str = "",
    period: str = "",
    level: Level = Level.WARNING,
    data: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Alert | None:
    """Tell people something, at most once per rule, subject, period and level, however many call.

    In the caller's transaction, of the tenant's door or the system's; without a tenant, it is the platform's
    own and takes the system's. Its deliveries are rows of the same transaction; the caller's entry point may
    hint at them (apps/notifications/hints.py). `quiet` keeps it in the list alone. Returns None if it was
    raised before.
    """
    alert = Alert(
        tenant_id=tenant_id,
        rule=rule,
        subject=storable(subject),
        period=period,
        level=level,
        message=storable(message),
        data=storable(dict(data or {})),
    )
    # Whoever comes second waits here until the first has committed, and then leaves no row.
    Alert.objects.bulk_create([alert], ignore_conflicts=True)
    if not Alert.objects.filter(pk=alert.pk).exists():
        return None
    if not quiet:
        targets.address(alert, now=now, muted=_is_muted(alert, now=now))
    log.info("alert.raised", rule=rule, severity=str(level), subject=subject, period=period, quiet=quiet)
    return alert


def acknowledge_alert(*, alert: Alert, by: str = "", now: datetime) -> None:
    """Note that somebody looks after it. Raises ConflictError if somebody does already."""
    unseen = Alert.objects.filter(pk=alert.pk, acknowledged_at=None)
    if not unseen.update(acknowledged_at=now, acknowledged_by=by[:254]):
        raise ConflictError("It is acknowledged already.")
    alert.acknowledged_at, alert.acknowledged_by = now, by[:254]


def mute_problem(until: datetime, *, now: datetime) -> str:
    """Why nothing can be muted until then; empty if something can."""
    if now < until <= now + LONGEST_MUTE:
        return ""
    return f"A mute has to end in the future, within {LONGEST_MUTE.days} days."


def mute_alert(*, alert: Alert, until: datetime, now: datetime) -> int:
    """Send nothing of its rule and subject until then, also of what is waiting: the number of these.

    What is raised meanwhile stays in the list. Raises InvalidInputError unless `until` is still to come,
    within 365 days.
    """
    if problem := mute_problem(until, now=now):
        raise InvalidInputError(problem, fields={"until": problem})
    unmute_alert(alert=alert)
    Alert.objects.filter(pk=alert.pk).update(muted_until=until)
    alert.muted_until = until
    waiting = Delivery.objects.filter(
        alert__in=_alike(alert), state=DeliveryState.PENDING, tenant_id=alert.tenant_id
    )
    # Collectors of digests give way at these; otherwise we and they might each wait for rows of the other.
    digests = NotificationTarget.objects.filter(pk__in=waiting.values("destination")).order_by("pk")
    list(digests.select_for_update(no_key=True).values_list("pk"))
    return waiting.update(state=DeliveryState.MUTED, error=targets.MUTED)


def unmute_alert(*, alert: Alert) -> None:
    """Send what its rule and subject will come to from now on."""
    _alike(alert).exclude(muted_until=None).update(muted_until=None)
    alert.muted_until = None


def _alike(alert: Alert) -> Any:
    return Alert.objects.filter(tenant_id=alert.tenant_id, rule=alert.rule, subject=alert.subject)


def _is_muted(alert: Alert, *, now: datetime) -> bool:
    return bool(_alike(alert).filter(muted_until__gt=now).exists())
