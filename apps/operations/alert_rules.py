"""What operations tell people of: tasks that have failed for good."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count
from django.db.models.functions import TruncDate

from apps.notifications.models import Level
from apps.notifications.rules import Finding
from apps.operations.models import DeadLetter, DeadLetterState


def dead_letters(now: datetime) -> Iterator[Finding]:
    """Open ones, told once for each task and day on which it failed."""
    rows = (
        DeadLetter.objects.filter(state=DeadLetterState.OPEN)
        .order_by()
        .values("task", day=TruncDate("created_at"))
        .annotate(number=Count("pk"))
    )
    for row in rows:
        yield Finding(
            tenant_id=None,
            subject=row["task"],
            period=str(row["day"]),
            level=Level.CRITICAL,
            message=f"{row['task']} has failed for good. Replay or discard it under Failed tasks.",
            data={"number": row["number"]},
        )
