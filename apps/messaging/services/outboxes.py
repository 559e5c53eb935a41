"""An outbox's life, and how messages get into it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.functions import Coalesce

from apps.common.errors import ConflictError
from apps.common.ids import uuid7_in_sql
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, MessageTemplate, Outbox
from apps.messaging.services import due

log = structlog.get_logger(__name__)

# Rows of one transaction: it keeps the account from claims for about so many times 0.05 ms.
CHUNK = 5000

# The recipients are taken in the order of their ids, as in every insertion: two of the same can't deadlock.
_INSERT = """
WITH wanted AS MATERIALIZED ({source}),
inserted AS (
    INSERT INTO messaging_message (
        id, tenant_id, account_id, fan_id, outbox_id, template_id, text, user_id, price, media, priority,
        not_before, state, attempt, failures, slots, platform_id, reason, error
    )
    SELECT {id}, %s, %s, numbered.fan_id, %s, %s, numbered.text, %s, %s, '[]', %s, %s,
           'queued', 0, 0, '{{}}', '', '', ''
    FROM (
        SELECT wanted.fan_id, wanted.text, row_number() OVER (ORDER BY wanted.fan_id) - 1 AS number
        FROM wanted
    ) numbered
    ORDER BY numbered.number
    ON CONFLICT (outbox_id, fan_id) DO NOTHING
    RETURNING 1
)
SELECT (SELECT id FROM wanted ORDER BY id DESC LIMIT 1), (SELECT count(*) FROM inserted)
"""


def create_outbox(
    *, tenant_id: UUID, campaign_id: UUID | None, priority: Priority, user_id: UUID | None
) -> Outbox:
    """An outbox for a campaign; `user_id` is whoever made it, None for an API key."""
    return Outbox.objects.create(
        tenant_id=tenant_id, campaign_id=campaign_id, priority=priority, user_id=user_id
    )


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

    The database reads the fans and writes the messages in one statement, so a chunk costs no memory here.
    Returns the last id of the chunk, to go on from; None when no fan is left. A fan who has a message of this
    outbox already gets no second one, so a chunk may be repeated. Works in the caller's transaction. Raises
    ConflictError if the outbox is closed or cancelled.
    """
    template, _ = MessageTemplate.objects.update_or_create(
        outbox=outbox, account_id=account_id, defaults={"body": body, "tenant_id": outbox.tenant_id}
    )
    chunk = _Chunk(outbox, account_id, template.pk, price, max(not_before, now), after, limit)
    mine = fans.filter(account_id=account_id, tenant_id=outbox.tenant_id)
    return chunk.insert(mine.values_list("pk", "pk", Value(None, output_field=TextField())))


def enqueue_texts(
    *,
    outbox: Outbox,
    account_id: UUID,
    texts: QuerySet[Any],
    price: Decimal | None,
    not_before: datetime,
    after: UUID | None,
    limit: int = CHUNK,
    now: datetime,
) -> UUID | None:
    """Enqueue messages with a text each: the next `limit` rows of `texts` beyond `after`.

    `texts` are rows of any model with an `account_id`, a `fan_id` of that account, and a `text` that
    `rendering.check_text` has let through. Otherwise the same as `enqueue_template`.
    """
    chunk = _Chunk(outbox, account_id, None, price, max(not_before, now), after, limit)
    return chunk.insert(texts.filter(account_id=account_id).values_list("pk", "fan_id", "text"))


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
class _Chunk:
    """What the messages of one insertion have in common, and where it begins and ends."""

    outbox: Outbox
    account_id: UUID
    template_id: UUID | None
    price: Decimal | None
    not_before: datetime
    after: UUID | None
    limit: int

    def insert(self, source: QuerySet[Any, tuple[Any, ...]]) -> UUID | None:
        """Insert messages for the next rows (id, fan, text) of `source`; the last of those ids, or None."""
        # From here no claim can look at the account and miss what isn't committed yet.
        Account.objects.select_for_update(no_key=True).only("pk").get(pk=self.account_id)
        rest = source.filter(pk__gt=self.after) if self.after else source
        select, parameters = rest.order_by("pk")[: self.limit].query.sql_with_params()
        statement = _INSERT.format(
            source=f"SELECT * FROM ({select}) AS source (id, fan_id, text)",  # noqa: S608  # Django's own SQL
            id=uuid7_in_sql(number="numbered.number"),
        )
        outbox = self.outbox
        with connection.cursor() as cursor:
            cursor.execute(
                statement,
                [
                    *parameters,
                    *(outbox.tenant_id, self.account_id, outbox.pk, self.template_id, outbox.user_id),
                    *(self.price, outbox.priority, self.not_before),
                ],
            )
            last, inserted = cursor.fetchone()
        if last:
            due.bring_forward([self.account_id] if inserted else [], at=self.not_before)
            _update(outbox, Q(closed_at=None, cancelled_at=None), queued=F("queued") + inserted)
        return UUID(str(last)) if last else None


def _update(outbox: Outbox, state: Q, **changes: object) -> None:
    """Change the row, and `outbox` with it, if its present state allows that. Raises ConflictError."""
    found = Outbox.objects.filter(state, pk=outbox.pk)
    if not (found.update(**changes) if changes else found.exists()):
        raise ConflictError(
            "The outbox's state doesn't allow this: it is cancelled, closed, or not yet settled."
        )
    outbox.refresh_from_db()
