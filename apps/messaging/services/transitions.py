"""How a message's row changes from state to state. The row is locked; `Changes` saves it and the counters."""

from datetime import datetime

from apps.common.text import storable
from apps.messaging.models import Message, MessageState
from apps.messaging.services.changes import Changes
from apps.messaging.timing import LOOK_UP_AFTER

_LONGEST_ERROR = 1000
_LONGEST_REASON = 64
LONGEST_ID = 128


def requeue(
    message: Message, changes: Changes, *, not_before: datetime, reason: str = "", error: str = ""
) -> None:
    """Back to the queue, its slot kept."""
    _end_attempt(message)
    message.not_before = not_before
    message.reason, message.error = _tidy(reason, _LONGEST_REASON), _tidy(error, _LONGEST_ERROR)
    changes.move(message, MessageState.QUEUED)


def give_back(
    message: Message, changes: Changes, *, not_before: datetime, reason: str = "", error: str = ""
) -> None:
    """Back to the queue, and its slot with it: the attempt never reached the platform."""
    message.slots = message.slots[:-1]
    requeue(message, changes, not_before=not_before, reason=reason, error=error)


def correct_slot(message: Message, *, ended_at: datetime) -> None:
    """The request is over, so it has arrived by now or never will. Stamps still ascend."""
    if message.slots:
        *earlier, latest = message.slots
        message.slots = [*earlier, max([min(latest, ended_at), *earlier[-1:]])]


def doubt(message: Message, changes: Changes, *, reason: str, error: str) -> None:
    """It may have arrived; a look-up will tell, once nothing of it can be under way any more."""
    message.lease_expires_at = None
    message.look_up_at = message.slots[-1] + LOOK_UP_AFTER
    message.reason, message.error = _tidy(reason, _LONGEST_REASON), _tidy(error, _LONGEST_ERROR)
    changes.move(message, MessageState.UNKNOWN)


def confirm(message: Message, changes: Changes, *, platform_id: str, now: datetime) -> None:
    _end_attempt(message)
    message.sent_at = message.finished_at = now
    message.platform_id = _tidy(platform_id, LONGEST_ID)
    message.reason = message.error = ""
    changes.move(message, MessageState.SENT)


def bury(message: Message, changes: Changes, *, reason: str, error: str, now: datetime) -> None:
    _end_attempt(message)
    message.finished_at = now
    message.reason, message.error = _tidy(reason, _LONGEST_REASON), _tidy(error, _LONGEST_ERROR)
    changes.move(message, MessageState.DEAD)


def cancel(message: Message, changes: Changes, *, reason: str, now: datetime) -> None:
    _end_attempt(message)
    message.finished_at = now
    message.reason = reason
    changes.move(message, MessageState.CANCELLED)


def revive(message: Message, changes: Changes, *, now: datetime) -> None:
    """Start over with the same words under the same key; its slots stay."""
    message.finished_at = None
    message.failures = 0
    requeue(message, changes, not_before=now)


def _tidy(text: str, longest: int) -> str:
    """A text from outside as its column can hold it."""
    return str(storable(text))[:longest]


def _end_attempt(message: Message) -> None:
    message.lease_expires_at = message.send_by = message.started_at = message.look_up_at = None
