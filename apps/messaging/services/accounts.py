"""What stops an account from sending, and lets it go on."""

from datetime import datetime
from uuid import UUID

import structlog
from django.db.models import Case, When
from django.db.models.functions import Greatest

from apps.messaging.models import Account
from apps.messaging.services import due
from apps.notifications.models import Alert, Level

log = structlog.get_logger(__name__)

UNAUTHORISED = "The platform refused the credential (401): enter a new one, then resume."


def pause_account(*, account: Account, reason: str = "", now: datetime) -> None:
    """Send nothing more from the account. One that is paused already keeps its time and reason."""
    Account.objects.filter(pk=account.pk, paused_at=None).update(paused_at=now, pause_reason=reason)
    account.refresh_from_db(fields=["paused_at", "pause_reason"])
    log.info("account.paused", account_id=str(account.pk), reason=reason)


def resume_account(*, account: Account, now: datetime) -> None:
    """Let it send again, at once if something is queued."""
    Account.objects.filter(pk=account.pk).update(paused_at=None, pause_reason="")
    due.bring_forward([account.pk], at=now)
    account.refresh_from_db(fields=["paused_at", "pause_reason", "next_due"])
    log.info("account.resumed", account_id=str(account.pk))


def pause_unauthorised(*, account_id: UUID, now: datetime) -> None:
    """Pause an account whose credential the platform refused, and tell people."""
    account = Account.objects.defer("credential").get(pk=account_id)
    if account.paused_at:
        return
    pause_account(account=account, reason=UNAUTHORISED, now=now)
    alert = Alert(
        tenant_id=account.tenant_id,
        rule="account_unauthorised",
        subject=str(account_id),
        period=now.isoformat(timespec="minutes"),
        level=Level.CRITICAL,
        message=f"{account.name} was paused. {UNAUTHORISED}",
    )
    Alert.objects.bulk_create([alert], ignore_conflicts=True)


def block(*, account_id: UUID, until: datetime) -> None:
    """Have nothing sent from the account before then."""
    Account.objects.filter(pk=account_id).update(
        # PostgreSQL's GREATEST passes over nulls: without the case an idle account would get something to do.
        blocked_until=Greatest("blocked_until", until),
        next_due=Case(When(next_due__isnull=False, then=Greatest("next_due", until))),
    )
    log.info("account.throttled", account_id=str(account_id), until=until.isoformat())
