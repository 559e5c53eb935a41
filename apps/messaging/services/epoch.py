"""The limiter's epoch: which log in Redis may be believed, and how another one begins.

PostgreSQL has the number in a row, Redis a copy of it with its `run_id`. Every call names both, so whatever
makes Redis forget — a flush, a start from an old file, another server — makes it refuse. Then a new epoch
begins, whose logs are empty until they are asked for: each is loaded from `Message.slots` first.

A claim holds the epoch's advisory lock shared until its grants are committed. Whoever begins an epoch, or
loads a log that several accounts share, takes it exclusively: no grant is then uncommitted, and so missed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from apps.messaging.limiter import sql_logs
from apps.messaging.limiter.redis_logs import Contents, RedisConnection, RedisLogs, Stamp, redis_logs
from apps.messaging.limiter.rules import LimiterUnavailableError, Log, Visit, microseconds
from apps.messaging.models import DispatchEpoch, Mode
from apps.messaging.timing import LATEST_ARRIVAL
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# The key of the advisory lock: “epoch” in ASCII.
_LOCK = 0x65706F6368
_AHEAD_US = microseconds(LATEST_ARRIVAL)
# How long a log that several accounts share is kept when nobody asks for it.
_SHARED_KEPT_US = microseconds(timedelta(days=7))


@dataclass(frozen=True, slots=True)
class Epoch:
    number: int
    mode: Mode


def hold() -> Epoch:
    """The epoch in force, which can't change until the transaction ends. In PostgreSQL's mode, alone.

    Raises LimiterUnavailableError if the mode turned to that at this very moment.
    """
    alone = _read().mode == Mode.POSTGRES
    # One lock or the other: two claims that held it shared would wait for each other to have it alone.
    _lock(shared=not alone)
    epoch = _read()
    if epoch.mode == Mode.POSTGRES and not alone:
        raise LimiterUnavailableError("PostgreSQL has just begun to decide about limits")
    return epoch


def current() -> Epoch:
    """The epoch in force at this moment."""
    return _read()


def logs() -> RedisLogs:
    return redis_logs(settings.REDIS_URL)


def renew(*, reason: str, mode: Mode = Mode.REDIS, turns: bool = True) -> None:
    """Begin an epoch, unless somebody just has. Without `turns`, only if that leaves the mode as it is.

    Raises LimiterUnavailableError where Redis is to keep it.
    """
    with system_transaction():
        _lock(shared=False)
        row = DispatchEpoch.objects.select_for_update().get_or_create(pk=1)[0]
        if row.mode != mode and not turns:
            return
        if mode == Mode.REDIS:
            with logs().connection() as redis:
                kept, is_of_this_server = redis.kept_epoch()
                if row.mode == mode and is_of_this_server and kept == row.number:
                    return
                # A number that Redis has known before may have logs there: PostgreSQL's may be of a backup.
                row.number = max(row.number, kept) + 1
                redis.set_epoch(row.number)
        elif row.mode == mode:
            return
        else:
            row.number += 1
        row.mode, row.reason = mode, reason[:200]
        DispatchEpoch.objects.filter(pk=1).update(
            number=row.number, mode=row.mode, reason=row.reason, changed_at=Now()
        )
    log.warning("epoch.begun", number=row.number, mode=row.mode, reason=reason)


def load_shared(missing: Iterable[Log], *, now: datetime) -> None:
    """Load logs that several accounts share, while nobody grants."""
    with system_transaction():
        _lock(shared=False)
        epoch = _read()
        wanted = [(each, each.window) for each in missing]
        found = sql_logs.read_stamps(wanted, now=now)
        contents = [
            Contents(each, horizon, _SHARED_KEPT_US, [Stamp(one.at, one.member) for one in found[each]])
            for each, horizon in wanted
        ]
        with logs().connection() as redis:
            redis.load(contents, epoch=epoch.number)
    log.info("limiter.loaded", logs=[each.name for each in missing])


def load_accounts(visits: Sequence[Visit], redis: RedisConnection, *, epoch: Epoch, now: datetime) -> None:
    """Load the logs of locked accounts and of their recipients."""
    found = sql_logs.read_stamps([(visit.shared[-1], visit.horizon) for visit in visits], now=now)
    contents = []
    for visit in visits:
        account, horizon = visit.shared[-1], visit.horizon
        idle = horizon + _AHEAD_US
        stamps = found[account]
        kept = [Stamp(each.at, each.member) for each in stamps]
        contents.append(Contents(account, horizon, idle, kept, visit.claims))
        by_fan = defaultdict(list)
        for each in stamps:
            by_fan[each.fan_id].append(Stamp(each.at, each.member))
        contents += [Contents(Log("recipient", fan, ()), 0, idle, theirs) for fan, theirs in by_fan.items()]
    redis.load(contents, epoch=epoch.number)


def _read() -> Epoch:
    with connection.cursor() as cursor:
        cursor.execute("SELECT number, mode FROM messaging_dispatchepoch")
        row = cursor.fetchone()
    if row is None:
        row_made = DispatchEpoch.objects.get_or_create(pk=1)[0]
        return Epoch(row_made.number, Mode(row_made.mode))
    return Epoch(row[0], Mode(row[1]))


def _lock(*, shared: bool) -> None:
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [_LOCK])
