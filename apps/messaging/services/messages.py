"""Single messages, and what an operator does with one that didn't arrive."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog

from apps.common.errors import ConflictError, InvalidInputError, NotFoundError
from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Message, MessageState
from apps.messaging.services import due, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.rendering import check_text

log = structlog.get_logger(__name__)

CANCELLED_BY_HAND = "cancelled"


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
    user_id: UUID | None = None,
) -> Message:
    """Enqueue one message of no outbox. Raises InvalidInputError; works in the caller's transaction.

    `user_id` is whoever asks for it, whose limit it counts in; None for an API key.
    """
    if fan.account_id != account.pk or account.tenant_id != tenant_id:
        raise InvalidInputError(
            "The fan must be one of the account's.", fields={"fan": "Not one of the account's."}
        )
    not_before = max(not_before, now)
    due.bring_forward([account.pk], at=not_before)
    message = Message.objects.create(
        tenant_id=tenant_id,
        user_id=user_id,
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
    """Queue dead messages again: the same words under the same key. Returns how many were.

    An outbox that is closed stays closed, but for them: they are sent and counted. Those of a cancelled one
    are left as they are.
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


def cancel(*, message_ids: Sequence[UUID], now: datetime) -> int:
    """Take queued messages back. Returns how many were queued; what is on its way can't be held back."""
    changes = Changes()
    messages = _lock(message_ids, MessageState.QUEUED)
    for message in messages:
        transitions.cancel(message, changes, reason=CANCELLED_BY_HAND, now=now)
    changes.write()
    log.info("message.cancelled", number=len(messages))
    return len(messages)


def cancel_message(*, message_id: UUID, now: datetime) -> Message:
    """Take one back. Cancelling it twice changes nothing.

    Raises NotFoundError, and ConflictError if it is on its way already or has come to another end.
    """
    cancel(message_ids=[message_id], now=now)
    message = Message.objects.select_related("outbox").filter(pk=message_id).first()
    if message is None:
        raise NotFoundError("There is no such message.")
    if message.state in (MessageState.SENDING, MessageState.UNKNOWN):
        raise ConflictError(
            "It is on its way already and may have arrived; it can't be taken back.", code="in_flight"
        )
    if message.state != MessageState.CANCELLED:
        raise ConflictError(
            f"It is {message.get_state_display().lower()}: only queued messages can be cancelled.",
            code=f"already_{message.state}",
        )
    return message


def _again(message_ids: Sequence[UUID], state: MessageState, *, now: datetime) -> int:
    # Accounts before messages, as everywhere.
    found = Message.objects.filter(pk__in=message_ids, state=state).values_list("account_id", flat=True)
    due.bring_forward(set(found), at=now)
    changes = Changes()
    messages = [each for each in _lock(message_ids, state) if not (each.outbox and each.outbox.cancelled_at)]
    for message in messages:
        transitions.revive(message, changes, now=now)
    changes.write()
    log.info("message.replayed", number=len(messages))
    return len(messages)


def _lock(message_ids: Sequence[UUID], state: MessageState) -> list[Message]:
    messages = Message.objects.select_for_update(no_key=True, of=("self",)).select_related("outbox")
    return list(messages.filter(pk__in=message_ids, state=state).order_by("pk"))
