"""Deliveries as rows: claimed under a lease, ended by an outcome (docs/alerts.md has the states).

pending --(claimed, with an envelope)--> sending --> sent; pending again, later; failed
pending --(its rule and subject are muted)--> muted;  failed, muted, sent --(an operator)--> pending
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, When

from apps.common.backoff import full_jitter
from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.notifications.channels.base import (
    LONGEST,
    Address,
    Envelope,
    Letter,
    Outcome,
    Postponed,
    Refused,
    Sent,
    Unknown,
)
from apps.notifications.models import Alert, Channel, Delivery, DeliveryState, Level, NotificationTarget
from apps.notifications.rules import TEST, subject_of
from apps.notifications.services import targets
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Twice what an attempt takes at most: the database may be slow to take the outcome.
LEASE = 2 * LONGEST
FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=2)
# Alerts of one digest; Slack takes no more blocks than for these.
IN_A_DIGEST = 20
INTERRUPTED = "The process that sent it died, perhaps after handing it over."
INTERRUPTED_TWICE = f"{INTERRUPTED} It was tried again once, and that was interrupted, too."
OPEN = (DeliveryState.PENDING, DeliveryState.SENDING)


@dataclass(frozen=True, slots=True)
class Claim:
    """An envelope that is ours to send until the lease expires, and the deliveries in it."""

    channel: Channel
    envelope: Envelope
    delivery_ids: tuple[UUID, ...]
    lease_expires_at: datetime
    attempts: int
    interruptions: int
    give_up_at: datetime


def claim(*, channel: Channel, now: datetime) -> Claim | None:
    """Take the envelope that has been due for longest; one to a target at a time. None: there is none."""
    while True:
        with system_transaction():
            first = _next(channel, now=now)
            if first is None:
                return None
            together = _together(first)
            if not together:
                return None  # somebody else is about to take it, or has some of it
            if first.state == DeliveryState.SENDING and first.interruptions:
                _fail(together, reason=INTERRUPTED_TWICE)
                continue
            try:
                place = targets.place_of(first)
            except ConflictError as error:
                _fail(together, reason=error.message)
                continue
            return _take(first, together, place=place, now=now)


def record(claimed: Claim, outcome: Outcome, *, now: datetime) -> None:
    """Write what became of an envelope. One that has arrived counts as sent whoever has it by now."""
    with system_transaction():
        rows = Delivery.objects.filter(pk__in=claimed.delivery_ids)
        mine = rows.filter(state=DeliveryState.SENDING, lease_expires_at=claimed.lease_expires_at)
        match outcome:
            case Sent():
                rows.exclude(state=DeliveryState.SENT).update(
                    state=DeliveryState.SENT, sent_at=now, lease_expires_at=None, error=""
                )
            case Refused():
                mine.update(state=DeliveryState.FAILED, lease_expires_at=None, error=outcome.reason)
            case Postponed():
                _postpone(mine, claimed, outcome, now=now)
            case Unknown() if claimed.interruptions:
                reason = f"{outcome.reason} It was tried again once; it may have arrived, twice even."
                mine.update(state=DeliveryState.FAILED, lease_expires_at=None, error=reason)
            case Unknown():
                mine.update(
                    state=DeliveryState.PENDING,
                    lease_expires_at=None,
                    due_at=now + FIRST_RETRY,
                    interruptions=F("interruptions") + 1,
                    error=outcome.reason,
                )
    _log(claimed, outcome)


def send_again(*, delivery: Delivery, now: datetime) -> None:
    """Send what failed, was muted or was sent before. Raises ConflictError if it is on its way anyway.

    What may have arrived keeps its envelope, so that its receiver can tell; what has arrived gets another.
    """
    rows = Delivery.objects.filter(pk=delivery.pk)
    fresh = {"state": DeliveryState.PENDING, "due_at": now, "give_up_at": now + targets.PATIENCE}
    reset = {**fresh, "attempts": 0, "interruptions": 0, "sent_at": None, "error": ""}
    if rows.filter(state=DeliveryState.SENT).update(**reset, envelope_id=None):
        return
    if not rows.filter(state__in=[DeliveryState.FAILED, DeliveryState.MUTED]).update(**reset):
        raise ConflictError("It is on its way already.")


def send_alert_again(*, alert: Alert, now: datetime) -> int:
    """Send what failed or was muted of an alert, and to targets that have come since: the number of these.

    Raises ConflictError if there is nothing to send.
    """
    stuck = alert.deliveries.filter(state__in=[DeliveryState.FAILED, DeliveryState.MUTED])
    again = list(stuck)
    for delivery in again:
        send_again(delivery=delivery, now=now)
    before = alert.deliveries.count()
    targets.address(alert, now=now)
    number = len(again) + alert.deliveries.count() - before
    if not number:
        raise ConflictError("Everything was sent or is on its way, and there are no other targets.")
    return number


def oldest_due(now: datetime) -> datetime | None:
    """Since when the longest waiting delivery has been due."""
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING, due_at__lte=now)
    since: datetime | None = waiting.order_by("due_at").values_list("due_at", flat=True).first()
    return since


def _due(now: datetime) -> Q:
    abandoned = Q(state=DeliveryState.SENDING, lease_expires_at__lte=now)
    return Q(state=DeliveryState.PENDING, due_at__lte=now) | abandoned


def _next(channel: Channel, *, now: datetime) -> Delivery | None:
    # So that a target that hangs takes one thread.
    busy = Delivery.objects.filter(
        Q(tenant_id=OuterRef("tenant_id")) | Q(tenant_id=None),
        # Two targets may have one address, and one target two names: that of before, and its own.
        Q(target=OuterRef("target")) | Q(destination=OuterRef("destination")),
        channel=channel,
        state=DeliveryState.SENDING,
        lease_expires_at__gt=now,
    )
    due = Delivery.objects.filter(_due(now), ~Exists(busy), channel=channel)
    return (
        due.select_related("destination", "alert")
        .defer("destination__url", "destination__signing_key")
        .select_for_update(skip_locked=True, of=("self",))
        .order_by("due_at", "id")
        .first()
    )


def _together(first: Delivery) -> list[Delivery]:
    """What goes in one envelope, locked: those of before, or what a digest collects."""
    rows = Delivery.objects.select_related("alert").order_by("id")
    if first.envelope_id:
        before = rows.filter(envelope_id=first.envelope_id, state__in=OPEN)
        # Others may have begun with another of them: who waited for theirs would wait in a circle.
        mine = list(before.select_for_update(of=("self",), skip_locked=True))
        return mine if len(mine) == before.count() else []
    rows = rows.select_for_update(of=("self",))
    if first.destination is None or not first.destination.digest_minutes or first.alert.rule == TEST:
        return list(rows.filter(pk=first.pk))
    # One collects at a time. Others give way, since they hold the row that they began with.
    target = NotificationTarget.objects.filter(pk=first.destination.pk)
    if not target.select_for_update(skip_locked=True, no_key=True).exists():
        return []
    waiting = rows.filter(destination=first.destination, state=DeliveryState.PENDING, envelope_id=None)
    urgent = Case(When(alert__level=Level.CRITICAL, then=0), default=1)
    others = waiting.exclude(alert__rule=TEST).exclude(pk=first.pk).order_by(urgent, "id")
    return sorted([first, *others[: IN_A_DIGEST - 1]], key=lambda each: each.pk)


def _take(first: Delivery, together: Sequence[Delivery], *, place: Address, now: datetime) -> Claim:
    interrupted = first.state == DeliveryState.SENDING
    lease, envelope_id = now + LEASE, first.envelope_id or uuid7()
    ids = tuple(each.pk for each in together)
    Delivery.objects.filter(pk__in=ids).update(
        state=DeliveryState.SENDING,
        envelope_id=envelope_id,
        attempts=F("attempts") + 1,
        interruptions=F("interruptions") + int(interrupted),
        lease_expires_at=lease,
        error=INTERRUPTED if interrupted else F("error"),
    )
    tenant = Tenant.objects.filter(pk=first.tenant_id).first() if first.tenant_id else None
    return Claim(
        channel=Channel(first.channel),
        envelope=Envelope(
            id=envelope_id,
            tenant_name=tenant.name if tenant else "",
            address=place,
            letters=tuple(_letter(each.alert) for each in together),
        ),
        delivery_ids=ids,
        lease_expires_at=lease,
        attempts=first.attempts + 1,
        interruptions=first.interruptions + int(interrupted),
        give_up_at=first.give_up_at or first.created_at + targets.PATIENCE,
    )


def _letter(alert: Alert) -> Letter:
    return Letter(
        id=alert.pk,
        rule=alert.rule,
        level=alert.level,
        subject=alert.subject,
        subject_kind=subject_of(alert.rule),
        period=alert.period,
        message=alert.message,
        data=alert.data,
        raised_at=alert.created_at,
    )


def _fail(together: Sequence[Delivery], *, reason: str) -> None:
    Delivery.objects.filter(pk__in=[each.pk for each in together]).update(
        state=DeliveryState.FAILED, lease_expires_at=None, error=reason
    )


def _postpone(mine: QuerySet[Delivery], claimed: Claim, outcome: Postponed, *, now: datetime) -> None:
    rng = random.Random(claimed.envelope.id.int + claimed.attempts)  # noqa: S311  # chance, no secret
    wait = full_jitter(claimed.attempts, base=FIRST_RETRY, most=LONGEST_RETRY, rng=rng)
    again = now + max(wait, outcome.retry_after or timedelta())
    if again > claimed.give_up_at:
        reason = f"Given up after {claimed.attempts} attempts. The last: {outcome.reason}"
        mine.update(state=DeliveryState.FAILED, lease_expires_at=None, error=reason)
    else:
        mine.update(state=DeliveryState.PENDING, lease_expires_at=None, due_at=again, error=outcome.reason)


def _log(claimed: Claim, outcome: Outcome) -> None:
    say = log.info if isinstance(outcome, Sent) else log.warning
    say(
        "delivery.ended",
        channel=str(claimed.channel),
        target=claimed.envelope.address.name,
        envelope=str(claimed.envelope.id),
        alerts=len(claimed.delivery_ids),
        attempt=claimed.attempts,
        outcome=type(outcome).__name__.lower(),
        reason=getattr(outcome, "reason", ""),
    )
