"""What operations tell people of: tasks that have failed for good, and requests that fail too often."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Sum
from django.db.models.functions import TruncDate

from apps.notifications.models import Level
from apps.notifications.rules import Finding
from apps.operations.models import DeadLetter, DeadLetterState, RequestTally

WINDOW = timedelta(minutes=5)
SAMPLES = 20
MOST_FAILED_PERCENT = 5


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


def failing_requests(now: datetime) -> Iterator[Finding]:
    """More than 5 % of the API's answers of five minutes were a 5xx; told once an hour."""
    recent = RequestTally.objects.filter(minute__gt=now - WINDOW - timedelta(minutes=1), minute__lte=now)
    found = recent.aggregate(requests=Sum("requests", default=0), failed=Sum("failed", default=0))
    requests, failed = found["requests"], found["failed"]
    if requests < SAMPLES or failed * 100 <= requests * MOST_FAILED_PERCENT:
        return
    percent = round(100 * failed / requests, 1)
    yield Finding(
        tenant_id=None,
        period=f"{now:%Y-%m-%d %H}:00",
        level=Level.CRITICAL if percent >= 50 else Level.WARNING,
        message=f"{percent:g} % of the API's answers of the last five minutes were a 5xx: "
        f"{failed} of {requests}.",
        data={"failed": failed, "requests": requests, "percent": percent},
    )
