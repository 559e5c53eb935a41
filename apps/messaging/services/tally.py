"""The outboxes' exact counters: changes are gathered, then written in the transaction that caused them."""

from collections import Counter, defaultdict
from uuid import UUID

from django.db import connection

from apps.messaging.models import MessageState

_STATES = tuple(MessageState.values)
_ADD = f"""
WITH locked AS MATERIALIZED (
    SELECT id FROM messaging_outbox WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
)
UPDATE messaging_outbox AS outbox
SET {", ".join(f"{state} = outbox.{state} + change.{state}" for state in _STATES)}
FROM locked JOIN unnest(%(ids)s::uuid[], {", ".join(f"%({state})s::int[]" for state in _STATES)})
    AS change (id, {", ".join(_STATES)}) ON change.id = locked.id
WHERE outbox.id = locked.id
"""  # noqa: S608  # only the names of the states are inserted


class Tally:
    """Moves of messages between states; written when all messages are locked, in the same transaction."""

    def __init__(self) -> None:
        self._changes: defaultdict[UUID, Counter[str]] = defaultdict(Counter)

    def add(self, outbox_id: UUID | None, state: str, number: int = 1) -> None:
        """Count new messages; a single message has no outbox, and no counter."""
        if outbox_id is not None:
            self._changes[outbox_id][state] += number

    def move(self, outbox_id: UUID | None, old: str, new: str, number: int = 1) -> None:
        self.add(outbox_id, old, -number)
        self.add(outbox_id, new, number)

    def write(self) -> None:
        """Add the changes; the outboxes are locked in the order of their ids, as everywhere."""
        changes = {box: states for box, states in sorted(self._changes.items()) if any(states.values())}
        if changes:
            columns = {state: [states[state] for states in changes.values()] for state in _STATES}
            with connection.cursor() as cursor:
                cursor.execute(_ADD, {"ids": list(changes), **columns})
        self._changes.clear()
