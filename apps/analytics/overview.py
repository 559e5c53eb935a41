"""The figures of the operator's first page: each comes from an index, few rows, or a bounded number."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Q, QuerySet, Sum

from apps.ai.models import Deployment, Generation, GenerationState
from apps.campaigns.models import Campaign, CampaignStatus
from apps.common.ids import first_id_of
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.messaging.models import Account, Fan, Message, MessageRecord, MessageState
from apps.notifications.models import Alert
from apps.operations.models import DeadLetter, DeadLetterState
from apps.tenants.models import ApiKey, Tenant

RECENT = timedelta(hours=24)
# The newest messages that are counted by state, and the most of anything else.
MESSAGES = 100_000
BOUND = 10_000
_OPEN = [
    CampaignStatus.PLANNING,
    CampaignStatus.PERSONALISING,
    CampaignStatus.AWAITING_APPROVAL,
    CampaignStatus.DISPATCHING,
]


@dataclass(frozen=True, slots=True)
class Overview:
    tenants: int
    tenants_paused: int
    accounts: int
    accounts_paused: int
    accounts_due: int
    campaigns: dict[str, int]
    messages: dict[str, int]
    unknown: int
    generations: dict[str, int]
    spent_today: dict[str, Decimal]
    held: dict[str, Decimal]
    dead_letters: int
    alerts: int


@dataclass(frozen=True, slots=True)
class Beginning:
    """What an installation has already that a first campaign needs."""

    tenant: bool
    api_key: bool
    account: bool
    fan: bool
    deployment: bool


def overview(*, now: datetime) -> Overview:
    """What is going on over all tenants, in the caller's transaction (the system's). Days are UTC's."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tenants = Tenant.objects.aggregate(all=Count("pk"), paused=Count("paused_at"))
    due = Q(next_due__lte=now, paused_at=None)
    accounts = Account.objects.aggregate(
        all=Count("pk"), paused=Count("paused_at"), due=Count("pk", filter=due)
    )
    newest = MessageRecord.objects.filter(pk__gte=first_id_of(now - RECENT)).order_by("-pk")[:MESSAGES]
    busy = [GenerationState.PENDING, GenerationState.RUNNING]
    return Overview(
        tenants=tenants["all"],
        tenants_paused=tenants["paused"],
        accounts=accounts["all"],
        accounts_paused=accounts["paused"],
        accounts_due=accounts["due"],
        campaigns=_by(Campaign.objects.filter(status__in=_OPEN), "status"),
        messages=_by_state(newest),
        unknown=_bounded(Message.objects.filter(state=MessageState.UNKNOWN)),
        generations=_by(Generation.objects.filter(state__in=busy), "state"),
        spent_today=_sums(LedgerEntry.objects.filter(occurred_at__gte=today), "amount"),
        held=_sums(Hold.objects.filter(state=HoldState.HELD), "bound"),
        dead_letters=_bounded(DeadLetter.objects.filter(state=DeadLetterState.OPEN)),
        alerts=_bounded(Alert.objects.filter(acknowledged_at=None)),
    )


def beginning() -> Beginning | None:
    """How far a new installation has come, or None once it has had a campaign."""
    if Campaign.objects.exists():
        return None
    return Beginning(
        tenant=Tenant.objects.exists(),
        api_key=ApiKey.objects.exists(),
        account=Account.objects.exists(),
        fan=Fan.objects.exists(),
        deployment=Deployment.objects.filter(enabled=True).exists(),
    )


def _by(rows: QuerySet, field: str) -> dict[str, int]:  # type: ignore[type-arg]  # of any model
    return dict(rows.order_by().values_list(field).annotate(count=Count("pk")))


def _by_state(newest: QuerySet[MessageRecord]) -> dict[str, int]:
    """A count of no more than these: grouping them would read both tables that they come from."""
    counts = newest.aggregate(**{state: Count("pk", filter=Q(state=state)) for state in MessageState.values})
    return {state: count for state, count in counts.items() if count}


def _sums(rows: QuerySet, field: str) -> dict[str, Decimal]:  # type: ignore[type-arg]  # of any model
    return dict(rows.order_by().values_list("currency").annotate(sum=Sum(field)))


def _bounded(rows: QuerySet) -> int:  # type: ignore[type-arg]  # of any model
    return rows.order_by()[: BOUND + 1].count()
