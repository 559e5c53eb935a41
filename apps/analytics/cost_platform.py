"""The whole platform's figures on the admin's page Costs, in the system's door."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from apps.analytics.cost_figures import DEAREST, Alerts, alerts_among
from apps.analytics.cost_ranges import Spend, spend_of
from apps.costs import platform_spend
from apps.notifications.models import Alert
from apps.tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class PlatformFigures:
    spend: Spend
    tenants: list[tuple[UUID, Decimal]]
    names: dict[UUID, str]
    alerts: Alerts


def figures_of_platform(*, days: int, now: datetime) -> PlatformFigures:
    """Of all tenants' own days, until the one that it is in UTC; for a range of a few weeks at most."""
    today = now.astimezone(UTC).date()
    since = today - timedelta(days=days - 1)
    spent = platform_spend.by_day_and_provider(since=since - timedelta(days=days), until=today)
    tenants = _by_amount(platform_spend.by_tenant(since=since, until=today))[:DEAREST]
    names = Tenant.objects.filter(pk__in=[tenant for tenant, _ in tenants]).values_list("pk", "name")
    return PlatformFigures(
        spend=spend_of(spent, days=days, today=today),
        tenants=tenants,
        names=dict(names),
        alerts=alerts_among(Alert.objects.all()),
    )


def dearest_tenant(*, now: datetime) -> UUID | None:
    """Who spent most in the last week; None if nobody spent anything."""
    today = now.astimezone(UTC).date()
    found = _by_amount(platform_spend.by_tenant(since=today - timedelta(days=6), until=today))
    return found[0][0] if found else None


def _by_amount(amounts: dict[UUID, Decimal]) -> list[tuple[UUID, Decimal]]:
    return sorted(amounts.items(), key=lambda each: (-each[1], each[0]))
