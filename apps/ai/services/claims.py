"""Taking a generation to work on it: a lease, and what whoever had it before has left of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings

from apps.ai.deadlines import Deadlines
from apps.ai.services import prompts, rows
from apps.ai.services.attempts import GRACE
from apps.ai.services.questions import Question
from apps.ai.services.records import Record, cancellation
from apps.common.errors import DomainError
from apps.common.priority import Priority
from apps.costs.services import holds


@dataclass(frozen=True, slots=True)
class Claim:
    """A generation that is ours until `lease_expires_at`; `began_at` is when somebody first worked on it.

    `attempts` were made before, `lost_attempts` of them by processes that died, which they did
    `abandonments` times; the others before it was put back. `cancelled`: nobody wants it any longer.
    """

    question: Question
    lease_expires_at: datetime
    was_abandoned: bool
    began_at: datetime
    attempts: int
    lost_attempts: int
    abandonments: int
    cancelled: DomainError | None

    def allowed(self, deadlines: Deadlines) -> Deadlines:
        """The same with the retries that are left. After an abandoned run there is a whole one."""
        made = self.attempts - self.lost_attempts
        return replace(deadlines, retries=max(deadlines.retries - made, 0))

    def record(self, deadlines: Deadlines) -> Record:
        until = self.began_at + deadlines.total
        # One that was put back may have its turn late, so it has the time of an attempt, as its lease does.
        ends_at = None if self.was_abandoned else max(until, self.lease_expires_at - GRACE)
        return Record(
            self.question,
            lease_expires_at=self.lease_expires_at,
            attempts=self.attempts,
            lost_attempts=self.lost_attempts,
            ends_at=ends_at,
            waits_until=until if deadlines.waits else None,
        )


def claim_generation(generation_id: UUID | None, *, now: datetime) -> Claim | None:
    """Take one that nobody works on, or the most urgent of them. None if there is nothing to do.

    Calls of a process that died over it are settled, by estimate.
    """
    lease = lease_from(now)
    row = rows.claim_generation(generation_id, now=now, lease_until=lease)
    if row is None:
        return None
    was_abandoned, began_at, code, message = (
        row.pop(name) for name in ("was_abandoned", "started_at", "error_code", "error")
    )
    counts = {name: row.pop(name) for name in ("attempts", "lost_attempts", "abandonments")}
    question = Question(
        prompt=prompts.version_of(row.pop("prompt_id")),
        asked_at=row.pop("created_at"),
        priority=Priority(row.pop("priority")),
        **row,
    )
    if was_abandoned:
        counts["attempts"] = counts["lost_attempts"] = _settle_attempts(question, now=now)
    cancelled = cancellation(code, message)
    return Claim(question, lease, was_abandoned, began_at, cancelled=cancelled, **counts)


def lease_from(now: datetime) -> datetime:
    """When a claim ends that isn't renewed: one attempt may come to its end."""
    until: datetime = now + settings.AI_ATTEMPT_TIMEOUT + GRACE
    return until


def _settle_attempts(question: Question, *, now: datetime) -> int:
    """How many attempts those made who had it before. What they left is settled by estimate."""
    holds.settle_abandoned(now=now, generation_id=question.id)
    return holds.last_attempt(tenant_id=question.tenant_id, generation_id=question.id)
