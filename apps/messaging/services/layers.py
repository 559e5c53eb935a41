"""How full the limiter's logs are, for people to look at: who sends asks the limiter itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from apps.messaging.limiter import sql_logs
from apps.messaging.limiter.rules import Limit, LimiterUnavailableError, Log, StaleEpochError
from apps.messaging.models import Layer, Mode
from apps.messaging.pace import Pace
from apps.messaging.services import epoch
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose log it is: an account's, a tenant's… `subject_id` is None for everything's."""

    layer: Layer
    subject_id: UUID | None
    limit: Limit

    @property
    def log(self) -> Log:
        return Log(self.layer.value, self.subject_id, self.limit.rules)

    @property
    def counting(self) -> Log:
        """The same log without the gap, which is a limit of one and would hide how many slots are free."""
        return Log(self.layer.value, self.subject_id, self.limit.rules[:1])


@dataclass(frozen=True, slots=True)
class Standing:
    """How full a limit is: the slots that are taken, and how long until one opens (0: one is free)."""

    limit: Limit
    used: int
    wait: timedelta

    @property
    def free(self) -> int:
        """The slots that may be taken, were it not for a gap; none where a limit was lowered since."""
        return max(0, self.limit.count - self.used)

    def after(self, number: int, *, pace: Pace, now: datetime) -> datetime:
        """When the last of so many messages has its slot, at the latest, at the pace that this limit sets."""
        if self.free:
            return pace.at(now, self.used + number - 1)
        return pace.at(now + self.wait, number - 1)


def standings(
    subjects: Sequence[Subject], *, now: datetime, at: int | None = None
) -> dict[Subject, Standing]:
    """How each stands at this moment; `at` is the limiter's time in microseconds, None Redis's own clock.

    Redis is asked, so call it outside of any transaction. What isn't loaded there, or everything while it is
    away, is read from the messages' rows, which its logs are loaded from.
    """
    asked = list(dict.fromkeys(subjects))
    found = _ask_redis(asked, at=at) if asked else {}
    rest = [each for each in asked if each not in found]
    return {**found, **(_ask_rows(rest, now=now) if rest else {})}


def _ask_redis(subjects: Sequence[Subject], *, at: int | None) -> dict[Subject, Standing]:
    with system_transaction():
        in_force = epoch.current()
    if in_force.mode != Mode.REDIS:
        return {}
    # A recipient's log doesn't say how far back it reaches: its account's vouches for it.
    asked = [each for each in subjects if each.layer != Layer.RECIPIENT]
    try:
        with epoch.logs().connection() as redis:
            counts = redis.state([each.counting for each in asked], epoch=in_force.number, now=at)
            waits = redis.state([each.log for each in asked], epoch=in_force.number, now=at)
    except (LimiterUnavailableError, StaleEpochError) as error:
        log.info("limiter.not_asked", error=f"{type(error).__name__}: {error}")
        return {}
    return {
        each: Standing(each.limit, used=each.limit.count - free, wait=timedelta(microseconds=wait))
        for each, (free, _), (known, wait) in zip(asked, counts, waits, strict=True)
        # -1 stands for a log that isn't there, and for one slot too many; of both the rows know.
        if free != -1 and known != -1
    }


def _ask_rows(subjects: Sequence[Subject], *, now: datetime) -> dict[Subject, Standing]:
    with system_transaction():
        counts = sql_logs.counts([each.counting for each in subjects], now=now)
        waits = sql_logs.waits([each.log for each in subjects], now=now)
    return {
        each: Standing(each.limit, used=used, wait=timedelta(microseconds=wait))
        for each, used, wait in zip(subjects, counts, waits, strict=True)
    }
