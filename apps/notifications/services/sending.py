"""From the claim to the outcome. While a channel sends, no transaction is open and no connection held."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError

from apps.common.connections import give_back_connection
from apps.notifications.channels import email, slack, webhook
from apps.notifications.channels.base import Outcome, Refused, Sender
from apps.notifications.models import Channel
from apps.notifications.services import deliveries
from apps.notifications.services.deliveries import Claim

log = structlog.get_logger(__name__)

SENDERS: Mapping[Channel, Sender] = {
    Channel.EMAIL: email.send,
    Channel.SLACK: slack.send,
    Channel.WEBHOOK: webhook.send,
}
# How long to wait before an outcome is written again that the database didn't take.
_DATABASE_AWAY_S = 1.0


def send_due(
    *, channel: Channel, clock: Callable[[], datetime], for_at_most: timedelta = timedelta(seconds=30)
) -> int:
    """Send what is due on a channel until nothing is or the time is up: the number of messages."""
    ends, number = time.monotonic() + for_at_most.total_seconds(), 0
    while claimed := deliveries.claim(channel=channel, now=clock()):
        give_back_connection()
        _send(claimed, clock=clock)
        number += 1
        if time.monotonic() >= ends:
            break
    return number


def _send(claimed: Claim, *, clock: Callable[[], datetime]) -> None:
    try:
        outcome = SENDERS[claimed.channel](claimed.envelope)
    except Exception as error:
        _record(claimed, Refused(f"{type(error).__name__}, a defect of ours; the log has more."), clock=clock)
        raise
    _record(claimed, outcome, clock=clock)


def _record(claimed: Claim, outcome: Outcome, *, clock: Callable[[], datetime]) -> None:
    """Insist while the lease is ours: an outcome that is lost means another, perhaps needless, try."""
    while True:
        try:
            deliveries.record(claimed, outcome, now=clock())
        except (OperationalError, InterfaceError) as error:
            give_back_connection()
            if clock() + timedelta(seconds=_DATABASE_AWAY_S) >= claimed.lease_expires_at:
                raise
            log.warning("delivery.recording_again", envelope=str(claimed.envelope.id), error=str(error))
            time.sleep(_DATABASE_AWAY_S)
        else:
            return
