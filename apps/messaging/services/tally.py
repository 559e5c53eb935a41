"""The outboxes' exact counters: changes are gathered, then written in the transaction that caused them."""

from collections import Counter
from uuid import UUID

from django.db.models import F

from apps.messaging.models import MessageState, Outbox


class Tally:
    """Moves of messages between states; written when all messages are locked, in the same transaction."""

    def __init__(self) -> None:
        self._changes: dict[UUID, Counter[str]] = {}

    def add(self, outbox_id: UUID | None, state: str, number: int = 1) -> None:
        """Count new messages; a single message has no outbox, and no counter."""
        if outbox_id is not None:
            self._changes.setdefault(outbox_id, Counter())[MessageState(state).value] += number

    def move(self, outbox_id: UUID | None, old: str, new: str, number: int = 1) -> None:
        self.add(outbox_id, old, -number)
        self.add(outbox_id, new, number)

    def write(self) -> None:
        """Add the changes, outbox by outbox in the order of their ids, as every transaction locks them."""
        for outbox_id in sorted(self._changes):
            changes = {
                state: F(state) + number for state, number in self._changes[outbox_id].items() if number
            }
            if changes:
                Outbox.objects.filter(pk=outbox_id).update(**changes)
        self._changes.clear()
