"""Questions that nobody waits for, while no deployment may be called: their rows wait, and not a worker.

The sweep goes on with them. They begin anew then, with what is left of their attempts.
"""

from datetime import datetime, timedelta

from apps.ai.deadlines import Deadlines
from apps.ai.matrix import Refusal
from apps.ai.providers.outcomes import FailureKind
from apps.ai.services.questions import Question
from apps.ai.services.records import Record
from apps.ai.services.troubles import GenerationError
from apps.ai.services.watch import soonest
from apps.common.errors import DomainError

# How soon to look again where an operator's word is in the way.
HELD_OPEN = timedelta(seconds=15)
# What opens breakers, or comes of open ones.
_PASSES = frozenset(
    {
        Refusal.CIRCUIT_OPEN,
        FailureKind.RATE_LIMITED,
        FailureKind.TIMEOUT,
        FailureKind.SERVER_ERROR,
        FailureKind.CONNECTION,
    }
)


class PutBackError(Exception):
    """Nobody could be called, and the question waits in its row until somebody may be."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"The question waits until {until}.")
        self.until = until


def put_back(
    error: DomainError, *, question: Question, record: Record, deadlines: Deadlines, now: datetime
) -> None:
    """Raises PutBackError if the question waits rather than fails of this error; and ClaimLostError."""
    has_attempts = record.made <= deadlines.retries
    if record.waits_until is None or not has_attempts or not isinstance(error, GenerationError):
        return
    if error.code not in _PASSES:
        return
    wait = soonest(task_kind=question.task_kind, pinned_id=question.pinned_id)
    until = now + (HELD_OPEN if wait is None else wait)
    if until < record.waits_until:
        record.put_back(until, explain=error.explain)
        raise PutBackError(until)
