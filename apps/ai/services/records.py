"""A generation's row while its answer is looked for: not written yet, or claimed by us."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet, Sum

from apps.ai import crowd
from apps.ai.deadlines import Timing
from apps.ai.models import Generation, GenerationState
from apps.ai.services import budget_left, rows
from apps.ai.services.questions import Question
from apps.ai.services.rows import (
    Beginning,
    ClaimLostError,
    Ended,
    Ending,
    Refused,
    Settlement,
    nothing,
)
from apps.common.connections import give_back_connection
from apps.common.errors import DomainError
from apps.common.text import storable
from apps.costs.models import LedgerEntry
from apps.costs.services.holds import Attempt, Held
from apps.tenants.doors import tenant_transaction

log = structlog.get_logger(__name__)

Written = TypeVar("Written")

# How long to wait before an outcome is written again that the database didn't take.
DATABASE_AWAY = timedelta(seconds=1)


class Record:
    """`lease_expires_at` is None until the row is written; then it names our claim, and only grows.

    `ends_at`: until then there has to be an answer, however long its deadlines are. `waits_until`: so long it
    may wait for a deployment to recover, since nobody waits for its answer.
    """

    def __init__(
        self,
        question: Question,
        *,
        lease_expires_at: datetime | None = None,
        attempts: int = 0,
        lost_attempts: int = 0,
        ends_at: datetime | None = None,
        waits_until: datetime | None = None,
    ) -> None:
        self._question, self._lease = question, lease_expires_at
        self.ends_at, self.waits_until = ends_at, waits_until
        # Those of earlier claims, too: numbers go on from there.
        self.attempts = self._attempts_before = attempts
        self._lost_attempts = lost_attempts

    @property
    def made(self) -> int:
        """How many attempts were made since we have it."""
        return self.attempts - self._attempts_before

    def begin(self, attempt: Attempt, *, now: datetime) -> Beginning:
        """Ask for an attempt: its money held, and the row ours until the hold expires. `began` hears it."""
        return rows.begin_attempt(
            purpose=self._question.purpose,
            attempt=attempt,
            lease_until=attempt.expires_at,
            now=now,
            question=None if self._lease else self._question.row,
            lease_was=self._lease,
        )

    def began(self, beginning: Beginning) -> Held:
        """The hold of an attempt, once it is committed; the same each time that it is asked.

        Raises what taking a hold does, and ClaimLostError. Nobody may be called then.
        """
        try:
            outcome = beginning.outcome()
        finally:
            give_back_connection()
        self._lease = outcome.lease_expires_at
        if isinstance(outcome, Refused):
            raise outcome.error
        self.attempts = outcome.hold.attempt.number
        budget_left.note(self._question.tenant_id, outcome.budget_left)
        return outcome.hold

    def keep(self, until: datetime, *, long: datetime | None = None) -> None:
        """Keep a row that is ours until then; if that is news, until `long`. Raises ClaimLostError."""
        if self._lease is None or until <= self._lease:
            return
        until = long or until
        with tenant_transaction(self._question.tenant_id):
            if not self._mine.update(lease_expires_at=until):
                raise ClaimLostError
        self._lease = until

    def put_back(self, until: datetime, *, explain: Sequence[Mapping[str, object]]) -> DomainError | None:
        """Give up the claim, with what it has cost so far; nobody takes the row before then.

        If it was cancelled meanwhile it stays ours, and this says why. Raises ClaimLostError.
        """
        with tenant_transaction(self._question.tenant_id):
            said = self._mine.select_for_update().values_list("error_code", "error").first()
            if said is None:
                raise ClaimLostError
            if cancelled := cancellation(*said):
                return cancelled
            self._mine.update(
                state=GenerationState.PENDING,
                lease_expires_at=until,
                attempts=self.attempts,
                lost_attempts=self._lost_attempts,
                explain=storable(list(explain)),
                **self._spent(),
            )
        return None

    def end(
        self,
        ending: Ending,
        *,
        now: datetime,
        settlement: Settlement | None = None,
        meanwhile: Callable[[], None] = nothing,
    ) -> Ended:
        """Write how it ended, and settle its last attempt; `meanwhile` is called while that is written.

        Raises ClaimLostError, with the money settled.
        """
        question = self._question
        if self._lease is None:
            rows.record_generation(purpose=question.purpose, question=question.row, ending=ending, now=now)
            return Ended()
        return rows.end_generation(
            tenant_id=question.tenant_id,
            generation_id=question.id,
            lease_was=self._lease,
            ending=ending,
            now=now,
            settlement=settlement,
            meanwhile=meanwhile,
        )

    @property
    def _mine(self) -> QuerySet[Generation]:
        """The row while it is ours."""
        return Generation.objects.filter(
            pk=self._question.id, state=GenerationState.RUNNING, lease_expires_at=self._lease
        )

    def _spent(self) -> dict[str, Any]:
        """The sums of its ledger entries, as where it ends."""
        question = self._question
        entries = LedgerEntry.objects.filter(occurred_at=question.asked_at, generation_id=question.id)
        return entries.aggregate(
            input_tokens=Sum("input_tokens", default=0),
            cached_tokens=Sum("cached_tokens", default=0),
            output_tokens=Sum("output_tokens", default=0),
            cost=Sum("amount", default=Decimal(0)),
        )


def cancellation(code: str, message: str) -> DomainError | None:
    """Why a running generation isn't asked anew, by what its row says."""
    return DomainError(message, code=code) if code else None


def insist(write: Callable[[datetime], Written], *, hold: Held, timing: Timing) -> Written:
    """Write what became of a hold, which a database that is away for a moment must not lose.

    `write` takes the time, the same each time: what was written, but whose answer was lost, is known then.
    Once the hold has expired, others settle it by estimate: then it raises.
    """
    now = timing.clock()
    while True:
        try:
            written = write(now)
        except (OperationalError, InterfaceError) as error:
            give_back_connection()
            if timing.clock() + DATABASE_AWAY >= hold.expires_at:
                raise
            log.warning("hold.settling_again", hold_id=str(hold.pk), error=str(error))
            with crowd.away():
                timing.sleep(DATABASE_AWAY.total_seconds())
        else:
            give_back_connection()
            return written
