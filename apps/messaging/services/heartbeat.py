"""A dispatch worker's heartbeat: whether it lives, what it reaches, how far the clocks are apart.

From the heartbeats follows who decides about limits. `redis` while somebody reaches Redis: a worker that
can't stops claiming by itself, since its claims fail. `postgres` when for 2 s no live worker has reached it,
and back when all of them have for 10 s. Where Redis is the broker too, nothing could be sent without it:
dispatch waits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now

from apps.common.clock import database_now
from apps.common.ids import uuid7
from apps.messaging.limiter.rules import CLOCK_MARGIN_US, LimiterUnavailableError, to_stamp
from apps.messaging.models import DispatchWorker, Mode
from apps.messaging.services import epoch
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

LIVE_FOR = timedelta(seconds=2)
BACK_FOR = timedelta(seconds=10)
FORGOTTEN_AFTER = timedelta(hours=1)
# The clocks count as too far apart only when it is certain, and was at so many heartbeats running.
_STRIKES = 3


@dataclass(frozen=True, slots=True)
class Skew:
    """By how many microseconds Redis's clock is ahead of PostgreSQL's: at least `low`, at most `high`."""

    low: int
    high: int

    @property
    def too_far(self) -> bool:
        """Whether the clocks are certainly further apart than half the margin that windows have."""
        return self.low > CLOCK_MARGIN_US // 2 or self.high < -CLOCK_MARGIN_US // 2


class Heart:
    """One worker's heartbeats. `holds` is why it must not claim; empty while it may."""

    def __init__(self, name: str) -> None:
        self.holds = ""
        self._id: UUID = uuid7()
        self._name = name
        self._redis_since: datetime | None = None
        self._redis_at: datetime | None = None
        self._strikes = 0

    def beat(self) -> None:
        """Take the pulse, write it down, and turn the mode where that is due."""
        skew = self._measure()
        self._judge(skew)
        with system_transaction():
            now = database_now()
            if skew:
                self._redis_at = now
                self._redis_since = self._redis_since or now
            else:
                self._redis_since = None
            DispatchWorker.objects.update_or_create(
                id=self._id,
                defaults={
                    "name": self._name,
                    "seen_at": Now(),
                    "redis_at": self._redis_at,
                    "redis_since": self._redis_since,
                    "skew_low_us": skew.low if skew else None,
                    "skew_high_us": skew.high if skew else None,
                    "holds": self.holds,
                },
            )
            mode = epoch.current().mode
        if mode == Mode.REDIS and not skew:
            _turn_to_postgres(now=now)
        elif mode == Mode.POSTGRES and skew:
            _turn_back(now=now)

    def stop(self) -> None:
        """Say goodbye, so that nobody waits for this worker."""
        with system_transaction():
            DispatchWorker.objects.filter(pk=self._id).delete()

    def _measure(self) -> Skew | None:
        """The skew, from PostgreSQL's clock read between two looks at Redis's; None if that isn't reached."""
        try:
            with epoch.logs().connection() as redis:
                before = redis.time()
                between = to_stamp(database_now())
                after = redis.time()
        except LimiterUnavailableError as error:
            log.warning("redis.unreachable", error=str(error))
            return None
        return Skew(low=before - between, high=after - between)

    def _judge(self, skew: Skew | None) -> None:
        self._strikes = self._strikes + 1 if skew and skew.too_far else 0
        held = self.holds
        self.holds = "the clocks of Redis and PostgreSQL differ too much" if self._strikes >= _STRIKES else ""
        if self.holds != held:
            log.warning("dispatch.held" if self.holds else "dispatch.resumed", reason=self.holds or held)


def live_workers(*, now: datetime) -> int:
    """How many dispatch workers are alive."""
    return DispatchWorker.objects.filter(seen_at__gte=now - LIVE_FOR).count()


def forget_dead(*, now: datetime) -> int:
    """Remove the rows of workers that have long been gone. Returns how many."""
    return DispatchWorker.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()[0]


def _turn_to_postgres(*, now: datetime) -> None:
    if settings.REDIS_IS_BROKER:
        return
    with system_transaction():
        reached = DispatchWorker.objects.filter(seen_at__gte=now - LIVE_FOR, redis_at__gte=now - LIVE_FOR)
        somebody = reached.exists()
    if not somebody:
        epoch.renew(reason="no worker reaches Redis", mode=Mode.POSTGRES)


def _turn_back(*, now: datetime) -> None:
    with system_transaction():
        live = DispatchWorker.objects.filter(seen_at__gte=now - LIVE_FOR)
        waiting = live.filter(Q(redis_since=None) | Q(redis_since__gt=now - BACK_FOR)).exists()
    if not waiting:
        try:
            epoch.renew(reason="every worker reaches Redis again")
        except LimiterUnavailableError as error:
            log.warning("epoch.not_begun", error=str(error))
