"""The rows that a transaction changes, saved in one statement, and what that does to the counters."""

from typing import Any
from uuid import UUID

from django.db import connection

from apps.messaging.models import Message, MessageState
from apps.messaging.services.tally import Tally

# What a transition may change, as PostgreSQL's arrays. Arrays of arrays can't be unnested: `slots` is text.
_COLUMNS = {
    "id": "uuid[]",
    "state": "text[]",
    "text": "text[]",
    "not_before": "timestamptz[]",
    "attempt": "int[]",
    "failures": "int[]",
    "slots": "text[]",
    "lease_expires_at": "timestamptz[]",
    "send_by": "timestamptz[]",
    "started_at": "timestamptz[]",
    "look_up_at": "timestamptz[]",
    "sent_at": "timestamptz[]",
    "finished_at": "timestamptz[]",
    "platform_id": "text[]",
    "reason": "text[]",
    "error": "text[]",
}
_ASSIGNMENTS = ", ".join(
    f"{name} = changed.{name}::timestamptz[]" if name == "slots" else f"{name} = changed.{name}"
    for name in _COLUMNS
    if name != "id"
)
# Django's bulk_update takes a second for 500 rows, most of it in building the statement.
_UPDATE = f"""
UPDATE messaging_message AS message SET {_ASSIGNMENTS}
FROM unnest({", ".join(f"%({name})s::{kind}" for name, kind in _COLUMNS.items())})
    AS changed ({", ".join(_COLUMNS)})
WHERE message.id = changed.id
"""  # noqa: S608  # only the constants above are inserted


class Changes:
    """Messages that were changed; all of them are locked."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._messages: dict[UUID, Message] = {}

    def move(self, message: Message, state: MessageState) -> None:
        self.tally.move(message.outbox_id, message.state, state)
        message.state = state
        self._messages[message.pk] = message

    def touch(self, message: Message) -> None:
        """Save a message that stays in its state."""
        self._messages[message.pk] = message

    def write(self) -> None:
        """Messages first, then outboxes: the lock order."""
        self.write_messages()
        self.tally.write()

    def write_messages(self) -> None:
        """All but the counters, at whose rows everybody meets: the shorter they are held, the better."""
        if self._messages:
            with connection.cursor() as cursor:
                cursor.execute(_UPDATE, {name: self._column(name) for name in _COLUMNS})

    def _column(self, name: str) -> list[Any]:
        messages = self._messages.values()
        if name == "slots":
            return [f"{{{','.join(slot.isoformat() for slot in message.slots)}}}" for message in messages]
        return [getattr(message, name) for message in messages]
