"""Who gets a campaign's messages, who doesn't and why, and how long it takes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet

from apps.campaigns.segments import fans_filter
from apps.messaging.models import Account, Fan
from apps.messaging.services import eta


@dataclass(frozen=True)
class Preflight:
    """What can be said before anything is sent. `by_account` maps an account's id to its recipients."""

    recipients: int
    excluded: dict[str, int]
    by_account: dict[UUID, int]
    ends_at: datetime
    warnings: list[str] = field(default_factory=list)


def recipients(*, account: Account, segment: dict[str, Any]) -> QuerySet[Fan]:
    """The fans of an account that a segment means and who consent."""
    return Fan.objects.filter(fans_filter(segment), account=account, consent=True)


def preflight(
    *, accounts: Iterable[Account], segment: dict[str, Any], not_before: datetime | None, now: datetime
) -> Preflight:
    """Count the recipients and the excluded by reason; estimate the end under each account's own limit
    and quiet hours.

    The estimate supposes that the accounts send nothing else meanwhile.
    """
    accounts = list(accounts)
    chosen = fans_filter(segment)
    counts: dict[UUID, Any] = {
        row["account_id"]: row
        for row in Fan.objects.filter(account__in=accounts)
        .values("account_id")
        .annotate(
            all=Count("id"),
            without_consent=Count("id", filter=Q(consent=False)),
            chosen=Count("id", filter=chosen & Q(consent=True)),
        )
    }
    by_account = {account.pk: counts.get(account.pk, {}).get("chosen", 0) for account in accounts}
    without_consent = sum(row["without_consent"] for row in counts.values())
    everybody, included = sum(row["all"] for row in counts.values()), sum(by_account.values())
    start = max(now, not_before or now)
    paces = eta.paces(accounts)
    return Preflight(
        recipients=included,
        excluded={"no_consent": without_consent, "segment": everybody - without_consent - included},
        by_account=by_account,
        ends_at=max(
            (paces[account_id].at(start, number - 1) for account_id, number in by_account.items() if number),
            default=start,
        ),
        warnings=[
            f"{each.name} is paused and sends nothing until resumed." for each in accounts if each.paused_at
        ],
    )
