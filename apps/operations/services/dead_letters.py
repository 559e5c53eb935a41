from datetime import datetime
from typing import Any

from apps.common.errors import ConflictError
from apps.common.text import storable
from apps.operations.models import DeadLetter, DeadLetterState
from apps.tenants.system import system_transaction


def record(
    *,
    task: str,
    task_id: str,
    queue: str,
    args: list[Any],
    kwargs: dict[str, Any],
    error: str,
    traceback: str,
    attempts: int,
) -> None:
    """Keep a task that has failed for good; a second delivery of the same one changes nothing."""
    with system_transaction():
        DeadLetter.objects.get_or_create(
            task_id=task_id,
            defaults={
                "task": task,
                "queue": queue,
                "args": storable(args),
                "kwargs": storable(kwargs),
                "error": storable(error),
                "traceback": storable(traceback),
                "attempts": attempts,
            },
        )


def resolve(*, letter: DeadLetter, state: DeadLetterState, by: str, now: datetime) -> None:
    """Mark one as replayed or discarded. Raises ConflictError if somebody was faster."""
    with system_transaction():
        changed = DeadLetter.objects.filter(pk=letter.pk, state=DeadLetterState.OPEN).update(
            state=state, resolved_at=now, resolved_by=by
        )
    if not changed:
        raise ConflictError(f"This task was already {letter.state}; there is nothing left to do.")


def reopen(*, letter: DeadLetter) -> None:
    """Take a replay back that did not reach the broker."""
    with system_transaction():
        DeadLetter.objects.filter(pk=letter.pk, state=DeadLetterState.REPLAYED).update(
            state=DeadLetterState.OPEN, resolved_at=None, resolved_by=""
        )
