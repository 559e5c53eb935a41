"""What an operator does to a whole platform: one row each, however many accounts there are."""

from datetime import datetime

import structlog

from apps.messaging.models import Message, MessageState, Platform, PlatformState
from apps.messaging.services import breakers

log = structlog.get_logger(__name__)


def make_rows() -> None:
    """A row for every platform that has none yet, so that there is something to pause."""
    PlatformState.objects.bulk_create(
        [PlatformState(platform=platform) for platform in Platform.values], ignore_conflicts=True
    )


def pause_platform(*, platform: str, reason: str, now: datetime) -> int:
    """Send nothing more there, but what is on its way already: the number of these.

    One that is paused already keeps its time and reason.
    """
    PlatformState.objects.get_or_create(platform=platform)
    PlatformState.objects.filter(pk=platform, paused_at=None).update(paused_at=now, pause_reason=reason[:200])
    log.info("platform.paused", platform=platform, reason=reason)
    return Message.objects.filter(state=MessageState.SENDING, account__platform=platform).count()


def resume_platform(*, platform: str) -> None:
    """Send there again; the sweep finds its accounts. The breaker stays as it is."""
    PlatformState.objects.filter(pk=platform).update(paused_at=None, pause_reason="")
    log.info("platform.resumed", platform=platform)


def close_breaker(*, platform: str) -> None:
    """Take it that the platform works, without a probe; should it not, the breaker opens again."""
    log.info("breaker.closed_by_hand", platform=platform)
    breakers.close(platform)
