"""What the ledger and its holds no longer have to keep; what was spent is known from the roll-ups."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import structlog
from django.db import connection

from apps.common.ids import first_id_of
from apps.costs import usage_reading
from apps.costs.models import Hold, HoldState
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Holds of one transaction, and of one run, which other jobs wait behind.
CHUNK, AT_MOST = 5_000, 500_000
# The present month and the one before are kept in any case (migration 0011_retention).
LEAST_MONTHS = 2


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a run has dropped. `waits`: why the next partition wasn't, that has also served its time."""

    partitions: list[str]
    holds: int
    waits: str = ""


def kept_since(*, now: datetime, months: int) -> date:
    """The first day, in UTC, of the oldest month that is kept: the present one and `months` before it are."""
    month = now.astimezone(UTC).date().replace(day=1)
    year, index = divmod(month.year * 12 + month.month - 1 - months, 12)
    return date(year, index + 1, 1)


def forget(*, now: datetime, months: int) -> Forgotten:
    """Drop what is older than `months` before this one, of the ledger and of the holds; 0 keeps all.

    A month that somebody reads or that isn't rolled up yet waits for another run, and so do later ones.
    """
    if not months:
        return Forgotten([], 0)
    if months < LEAST_MONTHS:
        raise ValueError(f"months must be 0 or {LEAST_MONTHS} at least, not {months}")
    since = kept_since(now=now, months=months)
    dropped, outcome = [], "dropped"
    while outcome == "dropped":
        partition, outcome = _drop_oldest_partition(since)
        if outcome == "dropped":
            log.info("ledger.dropped", partition=partition)
            dropped.append(partition)
    waits = "" if outcome == "nothing" else outcome
    if waits:
        log.warning("ledger.drop_waits", partition=partition, reason=waits)
    return Forgotten(dropped, _forget_holds(min(since, _first_kept() or since)), waits)


def _drop_oldest_partition(since: date) -> tuple[str, str]:
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT partition, outcome FROM drop_oldest_ledger_partition(%s)", [since])
        partition, outcome = cursor.fetchone()
    return partition or "", outcome


def _first_kept() -> date | None:
    """The first day of the ledger's oldest month: an entry's estimate is corrected by its hold."""
    with system_transaction():
        return usage_reading.kept_since()


def _forget_holds(since: date) -> int:
    """Those that have ended, the oldest first, by the time in their ids."""
    before = first_id_of(datetime.combine(since, time(), tzinfo=UTC))
    old = Hold.objects.filter(pk__lt=before).exclude(state=HoldState.HELD).order_by("pk")
    total = 0
    while total < AT_MOST:
        with system_transaction():
            ids = list(old.values_list("pk", flat=True)[:CHUNK])
            Hold.objects.filter(pk__in=ids).delete()
        total += len(ids)
        if len(ids) < CHUNK:
            break
    return total
