"""Whether a platform may be sent to: the operator's pause, and a breaker per platform.

closed --(so many failures in a row)--> open --(its time is up, a claim)--> half-open, one probe under way
half-open --(any answer)--> closed; --(the probe fails, or is never heard of)--> open, for twice as long

A failure is a connection that wasn't made or an answer of 5xx. Everything else is an answer. The row's lock
makes sure that one claim alone sends the probe.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from apps.messaging.gateways.base import HandedBack, NotConnected, Result, Unknown
from apps.messaging.models import BreakerState, PlatformState

log = structlog.get_logger(__name__)

OPENS_AFTER = 20
OPEN_AT_FIRST = timedelta(seconds=5)
OPEN_AT_MOST = timedelta(minutes=1)
# A probe that wasn't heard of for so long counts as failed.
PROBE_AT_MOST = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Passable:
    """The platforms that claims may serve, and those of which a single probe may go."""

    open: tuple[str, ...]
    probes: tuple[str, ...]


def passable(platforms: Iterable[str], *, now: datetime) -> Passable:
    """Which of the platforms may be sent to now. Those to be probed are locked until the transaction ends."""
    rows = {row.platform: row for row in PlatformState.objects.filter(platform__in=list(platforms))}
    closed: list[str] = []
    waiting: list[str] = []
    for platform in platforms:
        row = rows.get(platform)
        if row is None or (row.paused_at is None and row.breaker == BreakerState.CLOSED):
            closed.append(platform)
        elif row.paused_at is None and row.open_until is not None and row.open_until <= now:
            waiting.append(platform)
    probes: Iterable[str] = ()
    if waiting:
        due = PlatformState.objects.filter(platform__in=waiting, open_until__lte=now)
        probes = due.select_for_update(skip_locked=True).values_list("platform", flat=True)
    return Passable(open=tuple(closed), probes=tuple(probes))


def probing(platform: str, *, now: datetime) -> None:
    """A probe has been granted; the row is locked."""
    PlatformState.objects.filter(pk=platform).update(
        breaker=BreakerState.HALF_OPEN, open_until=now + PROBE_AT_MOST
    )
    log.info("breaker.probing", platform=platform)


def note(results: Sequence[Result], *, now: datetime) -> None:
    """Count what a batch tells about its platforms. Their rows are locked after messages."""
    failures = Counter(each.request.platform for each in results if _failed(each))
    answers = {each.request.platform for each in results if _answered(each)}
    troubled = set(
        PlatformState.objects.exclude(breaker=BreakerState.CLOSED, failures=0)
        .filter(platform__in=answers)
        .values_list("platform", flat=True)
    )
    for platform in sorted(troubled):
        close(platform)
    for platform in sorted(failures.keys() - answers):
        _count(platform, failures[platform], now=now)


def _failed(result: Result) -> bool:
    outcome = result.outcome
    return isinstance(outcome, NotConnected) or (
        isinstance(outcome, Unknown) and outcome.reason == "server_error"
    )


def _answered(result: Result) -> bool:
    # A time-out or a cut tells nothing either way.
    return not _failed(result) and not isinstance(result.outcome, HandedBack | Unknown)


def close(platform: str) -> None:
    """Take it that the platform works."""
    PlatformState.objects.filter(pk=platform).update(
        breaker=BreakerState.CLOSED, failures=0, openings=0, open_until=None
    )
    log.info("breaker.closed", platform=platform)


def _count(platform: str, number: int, *, now: datetime) -> None:
    PlatformState.objects.get_or_create(platform=platform)
    row = PlatformState.objects.select_for_update().get(platform=platform)
    row.failures += number
    if row.breaker == BreakerState.HALF_OPEN or (
        row.breaker == BreakerState.CLOSED and row.failures >= OPENS_AFTER
    ):
        row.breaker = BreakerState.OPEN
        row.open_until = now + min(OPEN_AT_MOST, OPEN_AT_FIRST * 2 ** min(row.openings, 10))
        row.openings += 1
        log.warning("breaker.opened", platform=platform, until=row.open_until.isoformat())
    row.save(update_fields=["failures", "breaker", "open_until", "openings"])
