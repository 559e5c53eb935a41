"""What stops an account from sending, and lets it go on."""

from datetime import datetime
from uuid import UUID

import structlog

from apps.messaging.models import Account, Message, MessageState
from apps.messaging.services import due
from apps.notifications.models import Level
from apps.notifications.services.alerts import raise_alert

log = structlog.get_logger(__name__)

UNAUTHORISED = "The platform refused the credential (401): enter a new one, then resume."


def pause_account(*, account: Account, reason: str = "", now: datetime) -> int:
    """Send nothing more from the account, but what is on its way already: the number of these.

    One that is paused already keeps its time and reason.
    """
    Account.objects.filter(pk=account.pk, paused_at=None).update(paused_at=now, pause_reason=reason)
    account.refresh_from_db(fields=["paused_at", "pause_reason"])
    # Few are on their way at any time, and an index holds these alone.
    in_flight = Message.objects.filter(state=MessageState.SENDING, account=account).count()
    log.info("account.paused", account_id=str(account.pk), reason=reason, in_flight=in_flight)
    return in_flight


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
    raise_alert(
        tenant_id=account.tenant_id,
        rule="account_unauthorised",
        subject=str(account_id),
        period=now.isoformat(timespec="minutes"),
        level=Level.CRITICAL,
        message=f"{account.name} was paused. {UNAUTHORISED}",
        now=now,
    )
