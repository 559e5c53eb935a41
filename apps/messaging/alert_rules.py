"""What dispatch tells people of: accounts that were paused, and platforms that don't answer."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from apps.messaging.models import Account, BreakerState, PlatformState
from apps.messaging.services.accounts import UNAUTHORISED
from apps.notifications.models import Level
from apps.notifications.rules import Finding

# A pause that is older was told of, or made while nobody evaluated rules.
RECENT = timedelta(hours=1)


def paused_accounts(now: datetime) -> Iterator[Finding]:
    """Each pause, but those of a refused credential, which are told of as they are made."""
    paused = Account.objects.filter(paused_at__gt=now - RECENT).exclude(pause_reason=UNAUTHORISED)
    for account in paused.only("tenant_id", "name", "paused_at", "pause_reason"):
        why = f": {account.pause_reason}" if account.pause_reason else "."
        yield Finding(
            tenant_id=account.tenant_id,
            subject=str(account.pk),
            period=f"{account.paused_at:%Y-%m-%d %H:%M:%S}",
            message=f"{account.name} is paused and sends nothing{why}",
            data={"account": account.name, "reason": account.pause_reason},
        )


def open_platforms(now: datetime) -> Iterator[Finding]:
    """Platforms to which nothing is sent, told once an hour as long as it lasts."""
    for platform in PlatformState.objects.exclude(breaker=BreakerState.CLOSED):
        yield Finding(
            tenant_id=None,
            subject=platform.platform,
            period=f"{now:%Y-%m-%d %H}:00",
            level=Level.CRITICAL,
            message=f"Nothing is sent to {platform} for the moment: {platform.failures} failures in a row.",
            data={"failures": platform.failures, "openings": platform.openings},
        )
