"""What the AI tells people of: providers that fail, and deployments that nobody calls any more."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Q, Subquery, Sum

from apps.ai.models import BreakerChange, BreakerState, Deployment, Generation, GenerationState, Source
from apps.common.ids import first_id_of
from apps.notifications.models import Level
from apps.notifications.rules import Finding

WINDOW = timedelta(minutes=5)
SAMPLES = 20
MOST_FAILED_PERCENT = 5
# A generation that ends in the window was made at most so long before it, but for one that had to wait long.
MADE_BEFORE = timedelta(minutes=30)


def failing_attempts(now: datetime) -> Iterator[Finding]:
    """Tenants of whose attempts at providers more than 5 % failed in five minutes; told once an hour.

    A generation with an answer of a provider has one attempt that succeeded, and none otherwise.
    """
    answered = Q(state=GenerationState.SUCCEEDED, source=Source.PROVIDER)
    ended = Generation.objects.filter(
        pk__gte=first_id_of(now - WINDOW - MADE_BEFORE), finished_at__gt=now - WINDOW, attempts__gt=0
    )
    rows = (
        ended.order_by()
        .values("tenant_id")
        .annotate(
            all=Sum("attempts"),
            failed=Sum("attempts", filter=~answered, default=0)
            + Sum(F("attempts") - 1, filter=answered, default=0),
        )
        .filter(all__gte=SAMPLES, failed__gt=F("all") * MOST_FAILED_PERCENT / 100.0)
    )
    for row in rows:
        percent = round(100 * row["failed"] / row["all"], 1)
        yield Finding(
            tenant_id=row["tenant_id"],
            period=f"{now:%Y-%m-%d %H}:00",
            level=Level.CRITICAL if percent >= 50 else Level.WARNING,
            message=f"{percent:g} % of the calls to AI providers failed in the last five minutes: "
            f"{row['failed']} of {row['all']}.",
            data={"failed": row["failed"], "attempts": row["all"], "percent": percent},
        )


def open_breakers(now: datetime) -> Iterator[Finding]:
    """Deployments that their breaker keeps from being called, once for each time that it leaves closed.

    What an operator holds open is no news to operators.
    """
    changes = BreakerChange.objects.filter(deployment=OuterRef("pk")).order_by("-pk")
    deployments = Deployment.objects.filter(enabled=True).annotate(
        last=Subquery(changes.values("after")[:1]),
        by=Subquery(changes.values("by")[:1]),
        reason=Subquery(changes.values("reason")[:1]),
        since=Subquery(changes.filter(before=BreakerState.CLOSED).values("created_at")[:1]),
    )
    for each in deployments.filter(last=BreakerState.OPEN, by=None):
        yield Finding(
            tenant_id=None,
            subject=str(each.pk),
            period=f"{each.since:%Y-%m-%d %H:%M:%S}" if each.since else "",
            level=Level.CRITICAL,
            message=f"{each.name} is called no more for the moment: {each.reason}.",
            data={"deployment": each.name, "provider": each.provider},
        )
