"""An outbox's life, and how messages get into it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.messaging.models import Fan, MessageTemplate, Outbox
from apps.messaging.services import due
from apps.messaging.services.rendering import check_text
from apps.messaging.services.tally import Tally

log = structlog.get_logger(__name__)

CHUNK = 5000

_INSERT = """
INSERT INTO messaging_message (
    id, tenant_id, account_id, fan_id, outbox_id, template_id, text, price, media, priority, not_before,
    state, attempt, failures, slots, platform_id, reason, error
)
SELECT row.id, %(tenant_id)s, row.account_id, row.fan_id, %(outbox_id)s, %(template_id)s, row.text,
       %(price)s, '[]', %(priority)s, %(not_before)s, 'queued', 0, 0, '{}', '', '', ''
FROM unnest(%(ids)s::uuid[], %(accounts)s::uuid[], %(fans)s::uuid[], %(texts)s::text[])
    AS row (id, account_id, fan_id, text)
ON CONFLICT (outbox_id, fan_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class FanText:
    """A fan's own text."""

    account_id: UUID
    fan_id: UUID
    text: str


def create_outbox(*, tenant_id: UUID, campaign_id: UUID | None, priority: Priority) -> Outbox:
    return Outbox.objects.create(tenant_id=tenant_id, campaign_id=campaign_id, priority=priority)


def enqueue_template(
    *,
    outbox: Outbox,
    account_id: UUID,
    body: str,
    fans: QuerySet[Fan],
    price: Decimal | None,
    not_before: datetime,
    after: UUID | None,
    limit: int = CHUNK,
    now: datetime,
) -> UUID | None:
    """Enqueue a template's messages to the next `limit` of an account's fans, those with ids beyond `after`.

    Returns the last id of the chunk, to go on from; None when no fan is left. A fan who has a message of this
    outbox already gets no second one, so a chunk may be repeated. Works in the caller's transaction. Raises
    ConflictError if the outbox is closed or cancelled.
    """
    wanted = fans.filter(account_id=account_id, tenant_id=outbox.tenant_id)
    if after is not None:
        wanted = wanted.filter(pk__gt=after)
    fan_ids = list(wanted.order_by("pk").values_list("pk", flat=True)[:limit])
    if not fan_ids:
        return None
    template, _ = MessageTemplate.objects.update_or_create(
        outbox=outbox, account_id=account_id, defaults={"body": body, "tenant_id": outbox.tenant_id}
    )
    rows = [_Row(account_id=account_id, fan_id=fan_id, text=None) for fan_id in fan_ids]
    _insert(rows, outbox=outbox, template_id=template.pk, price=price, not_before=max(not_before, now))
    return fan_ids[-1]


def enqueue_texts(
    *, outbox: Outbox, texts: Sequence[FanText], price: Decimal | None, not_before: datetime, now: datetime
) -> int:
    """Enqueue messages with a text each; the number that is new. As repeatable as `enqueue_template`.

    Raises ConflictError likewise, and RenderError if a text can't be sent.
    """
    rows = [_Row(text.account_id, text.fan_id, check_text(text.text)) for text in texts]
    return _insert(rows, outbox=outbox, template_id=None, price=price, not_before=max(not_before, now))


def pause(*, outbox: Outbox, now: datetime) -> int:
    """Nothing more of it is sent, but what is already on its way: the number of these."""
    _update(outbox, Q(), paused_at=Coalesce("paused_at", now))
    log.info("outbox.paused", outbox_id=str(outbox.pk), in_flight=outbox.sending)
    return outbox.sending


def resume(*, outbox: Outbox, now: datetime) -> None:
    """Go on with it; the sweep finds its accounts. Raises ConflictError if it is cancelled."""
    _update(outbox, Q(cancelled_at=None), paused_at=None)
    log.info("outbox.resumed", outbox_id=str(outbox.pk))


def cancel(*, outbox: Outbox, now: datetime) -> int:
    """Nothing more of it is ever sent, but what is already on its way: the number of these.

    The sweep marks its rows. Raises ConflictError if it is closed.
    """
    _update(outbox, Q(closed_at=None), cancelled_at=Coalesce("cancelled_at", now))
    log.info("outbox.cancelled", outbox_id=str(outbox.pk), in_flight=outbox.sending)
    return outbox.sending


def close(*, outbox: Outbox, now: datetime) -> None:
    """It gets no more messages, and its rows may be archived. Raises ConflictError if some aren't settled."""
    _update(outbox, Q(queued=0, sending=0, unknown=0), closed_at=Coalesce("closed_at", now))
    log.info("outbox.closed", outbox_id=str(outbox.pk))


def settled(outbox: Outbox) -> bool:
    """Whether every message that it has got has come to its end."""
    outbox.refresh_from_db(fields=["queued", "sending", "unknown"])
    return not (outbox.queued or outbox.sending or outbox.unknown)


@dataclass(frozen=True, slots=True)
class _Row:
    account_id: UUID
    fan_id: UUID
    text: str | None


def _insert(
    rows: Iterable[_Row],
    *,
    outbox: Outbox,
    template_id: UUID | None,
    price: Decimal | None,
    not_before: datetime,
) -> int:
    # In the order of the fans' ids, as every other insertion: two of the same fans then can't deadlock.
    rows = sorted(rows, key=lambda row: row.fan_id)
    due.bring_forward({row.account_id for row in rows}, at=not_before)
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            {
                "ids": [uuid7() for _ in rows],
                "accounts": [row.account_id for row in rows],
                "fans": [row.fan_id for row in rows],
                "texts": [row.text for row in rows],
                "tenant_id": outbox.tenant_id,
                "outbox_id": outbox.pk,
                "template_id": template_id,
                "price": price,
                "priority": outbox.priority,
                "not_before": not_before,
            },
        )
        inserted: int = cursor.rowcount
    tally = Tally()
    tally.add(outbox.pk, "queued", inserted)
    tally.write()
    _update(outbox, Q(closed_at=None, cancelled_at=None))
    return inserted


def _update(outbox: Outbox, state: Q, **changes: object) -> None:
    """Change the row, and `outbox` with it, if its present state allows that. Raises ConflictError."""
    found = Outbox.objects.filter(state, pk=outbox.pk)
    if not (found.update(**changes) if changes else found.exists()):
        raise ConflictError(
            "The outbox's state doesn't allow this: it is cancelled, closed, or not yet settled."
        )
    outbox.refresh_from_db()
