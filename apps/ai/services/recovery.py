"""Questions that nobody waits for, while no deployment may be called: their rows wait, and not a worker.

The sweep goes on with them. They begin anew then, with what is left of their attempts.
"""

from datetime import datetime, timedelta

from apps.ai import explained, matrix
from apps.ai.deadlines import Deadlines
from apps.ai.services.records import Record
from apps.ai.services.troubles import GenerationError
from apps.ai.services.watch import soonest
from apps.common.errors import DomainError

# How soon to look again where an operator's word is in the way.
HELD_OPEN = timedelta(seconds=15)
# A breaker may have recovered meanwhile. Whatever it says, others have their turns first.
_SHORTEST = timedelta(seconds=1)


class PutBackError(Exception):
    """Nobody could be called, and the question waits in its row until somebody may be."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"The question waits until {until}.")
        self.until = until


def put_back(error: DomainError, *, record: Record, deadlines: Deadlines, now: datetime) -> DomainError:
    """What the question fails of: this error, or that nobody wants it any longer.

    Raises PutBackError if it waits instead, and ClaimLostError.
    """
    has_attempts = record.made <= deadlines.retries
    if record.waits_until is None or not has_attempts or not isinstance(error, GenerationError):
        return error
    names = explained.recovering(error.explain)
    if not names or not matrix.passes(error.code):
        return error
    wait = soonest(names)
    until = now + (HELD_OPEN if wait is None else max(wait, _SHORTEST))
    if until >= record.waits_until:
        return error
    if cancelled := record.put_back(until, explain=error.explain):
        return GenerationError(cancelled.message, code=cancelled.code, explain=error.explain)
    raise PutBackError(until)
