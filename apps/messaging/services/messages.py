"""Single messages, and what an operator does with one that didn't arrive."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Message, MessageState
from apps.messaging.services import due, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.rendering import check_text

log = structlog.get_logger(__name__)


def enqueue_message(
    *,
    tenant_id: UUID,
    account: Account,
    fan: Fan,
    text: str,
    price: Decimal | None,
    media: Sequence[str],
    not_before: datetime,
    priority: Priority,
    now: datetime,
) -> Message:
    """Enqueue one message of no outbox. Raises InvalidInputError; works in the caller's transaction."""
    if fan.account_id != account.pk or account.tenant_id != tenant_id:
        raise InvalidInputError(
            "The fan must be one of the account's.", fields={"fan": "Not one of the account's."}
        )
    not_before = max(not_before, now)
    due.bring_forward([account.pk], at=not_before)
    message = Message.objects.create(
        tenant_id=tenant_id,
        account=account,
        fan=fan,
        text=check_text(text),
        price=price,
        media=list(media),
        not_before=not_before,
        priority=priority,
    )
    log.info("message.enqueued", message_id=str(message.pk), account_id=str(account.pk))
    return message


def replay(*, message_ids: Sequence[UUID], now: datetime) -> int:
    """Queue dead messages again: the same words under the same key. Returns how many of them were dead.

    Raises ConflictError if one is of an outbox that is closed or cancelled.
    """
    return _again(message_ids, MessageState.DEAD, now=now)


def send_again(*, message_ids: Sequence[UUID], now: datetime) -> int:
    """Queue unknown messages again: an operator found that they didn't arrive. See `replay`."""
    return _again(message_ids, MessageState.UNKNOWN, now=now)


def mark_sent(*, message_ids: Sequence[UUID], now: datetime) -> int:
    """Take unknown messages for sent: an operator found that they arrived. Returns how many were unknown."""
    changes = Changes()
    messages = _lock(message_ids, MessageState.UNKNOWN)
    for message in messages:
        transitions.confirm(message, changes, platform_id="", now=now)
    changes.write()
    log.info("message.marked_sent", number=len(messages))
    return len(messages)


def _again(message_ids: Sequence[UUID], state: MessageState, *, now: datetime) -> int:
    # Accounts before messages, as everywhere.
    found = Message.objects.filter(pk__in=message_ids, state=state).values_list("account_id", flat=True)
    due.bring_forward(set(found), at=now)
    changes = Changes()
    messages = _lock(message_ids, state)
    for message in messages:
        box = message.outbox
        if box and (box.closed_at or box.cancelled_at):
            raise ConflictError("Messages of a closed or cancelled outbox can't be sent any more.")
        transitions.revive(message, changes, now=now)
    changes.write()
    log.info("message.replayed", number=len(messages))
    return len(messages)


def _lock(message_ids: Sequence[UUID], state: MessageState) -> list[Message]:
    messages = Message.objects.select_for_update(no_key=True, of=("self",)).select_related("outbox")
    return list(messages.filter(pk__in=message_ids, state=state).order_by("pk"))
