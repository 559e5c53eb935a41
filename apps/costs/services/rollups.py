"""The ledger's roll-ups: sums by hour, day and month of each tenant's calendar (docs/costs.md).

Every entry before the watermark is in them, none from it on. Whoever changes them holds the watermark's row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from apps.common.errors import ConflictError, InvalidInputError
from apps.costs.rollup_statements import FIRST_WHOLE_DAY, FOLD, KEPT_SINCE, MOVE, RECOMPUTE
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Transactions that one step takes in, so that a run after a long outage is many short ones.
STEP = 500_000
# Enough for a day's hours to be grouped in memory; it is taken once, by whoever holds the watermark.
_WORK_MEMORY = "128MB"
_LONG = timedelta(hours=2)
_WATERMARK = "SELECT ledger_generation, reached::text::bigint FROM costs_rollupwatermark"
_LOCK = f"{_WATERMARK} FOR UPDATE"
# No zone is further from UTC than a day.
_SLACK = timedelta(days=2)
_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class RestoredLedgerError(ConflictError):
    """The watermark lies in this database's future: it comes from another one, by a dump."""

    code = "ledger_restored"


class NotKeptError(InvalidInputError):
    """The ledger no longer has all the entries of the range."""

    code = "ledger_not_kept"


@dataclass(frozen=True, slots=True)
class Watermark:
    """The entries before it are in the roll-ups. Transaction ids are PostgreSQL's 64-bit ones."""

    ledger_generation: int
    txid: int


def roll_up(*, step: int = STEP) -> bool:
    """Take what has been committed since the last run into the roll-ups. False: somebody else is at it.

    Entries of transactions that began before one that is still open wait for that one to end, so that none
    that commits late is passed over. Raises RestoredLedgerError.
    """
    while True:
        with system_transaction():
            mark = _lock(wait=False)
            if mark is None:
                return False
            settled = _settled_before()
            if settled < mark.txid:
                raise RestoredLedgerError(
                    f"The roll-ups reach to transaction {mark.txid}, and this database is only at {settled}: "
                    "it was restored from a dump. Run: manage.py raise_ledger_generation"
                )
            until = min(settled, mark.txid + step)
            if until > mark.txid:
                _fold(mark, until=until)
                _move_watermark(Watermark(mark.ledger_generation, until))
        if until == settled:
            return True


def recompute(*, since: date | None = None, until: date | None = None, tenant_id: UUID | None = None) -> None:
    """Make the rows of a range of days anew from the ledger, ends included; without ends, all that is kept.

    Of months, those that the range touches. Days are the tenants' own. It waits for whoever is at the
    roll-ups. Raises NotKeptError, InvalidInputError.
    """
    if since and until and since > until:
        raise InvalidInputError("The range ends before it begins.", fields={"to": "Give a later day."})
    with system_transaction():
        _be_patient()
        mark = _lock(wait=True)
        assert mark is not None
        _recompute(mark, since=since, until=until, tenant_id=tenant_id)
    log.info("rollups.recomputed", since=str(since), until=str(until), tenant=str(tenant_id or "all"))


def move_calendar(*, tenant_id: UUID, time_zone: str) -> None:
    """Roll a tenant's entries up by another time zone, which its row has to get in the same transaction.

    Until that ends, no run and no recomputation begins. Sums of entries that the ledger no longer has stay in
    the periods in which they are.
    """
    with system_transaction():
        mark = _lock(wait=True)
        assert mark is not None
        given = {**_below(mark), "tenant": tenant_id, "zone": time_zone}
        with _roomy(), connection.cursor() as cursor:
            for move, sweep in MOVE:
                cursor.execute(move, given)
                cursor.execute(sweep, given)


def raise_ledger_generation() -> int:
    """After a restore from a dump: entries get a new generation, and all older ones are before the watermark.

    Transaction ids begin anew in another database; those of the dump say nothing there. What the dump's last
    run had left is taken in first. Returns the generation; `recompute` should follow.
    """
    with system_transaction():
        _be_patient()
        mark = _lock(wait=True)
        assert mark is not None
        # From here to our end nobody enters anything.
        raised: int = _ask("SELECT raise_ledger_generation()")
        _fold(mark, until=None)
        _move_watermark(Watermark(raised, _settled_before()))
    log.warning("rollups.generation_raised", generation=raised)
    return raised


def watermark() -> Watermark:
    """Where it is now."""
    with system_transaction():
        return Watermark(*_row(_WATERMARK))


def _lock(*, wait: bool) -> Watermark | None:
    row = _row(_LOCK if wait else f"{_LOCK} SKIP LOCKED")
    return row and Watermark(*row)


def _settled_before() -> int:
    """Every transaction before this one has ended; asked before the ledger is read, which then shows them."""
    oldest: int = _ask("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
    return oldest


def _fold(mark: Watermark, *, until: int | None) -> None:
    given: dict[str, Any] = {
        "generation": mark.ledger_generation,
        "since": str(mark.txid),
        "until": str(until or 2**64 - 1),
    }
    with _roomy(), connection.cursor() as cursor:
        cursor.execute(FOLD, given)


def _move_watermark(mark: Watermark) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE costs_rollupwatermark SET ledger_generation = %s, reached = %s::text::xid8",
            [mark.ledger_generation, str(mark.txid)],
        )


def _recompute(
    mark: Watermark,
    *,
    since: date | None = None,
    until: date | None = None,
    tenant_id: UUID | None = None,
) -> None:
    kept_since: datetime = _ask(KEPT_SINCE)
    given: dict[str, Any] = {
        **_below(mark),
        "since": since,
        "until": until,
        "tenant": tenant_id,
        "kept_since": kept_since,
        "loosely_since": max(kept_since, _midnight(since.replace(day=1)) - _SLACK) if since else kept_since,
        "loosely_until": _end_of_month(until) + _SLACK if until else _EVER,
    }
    if since is not None:
        _refuse_what_is_not_kept(since, given)
    with _roomy(), connection.cursor() as cursor:
        for forget, sum_up in RECOMPUTE:
            cursor.execute(forget, given)
            cursor.execute(sum_up, given)


def _below(mark: Watermark) -> dict[str, Any]:
    return {"generation": mark.ledger_generation, "txid": str(mark.txid)}


def _refuse_what_is_not_kept(since: date, given: dict[str, Any]) -> None:
    first: date | None = _ask(FIRST_WHOLE_DAY, given)
    if first is not None and since < first:
        raise NotKeptError(
            f"The ledger's entries are kept from {given['kept_since']:%Y-%m-%d} UTC on, and {first} is the "
            "first day that is there as a whole: begin there or later.",
            fields={"from": f"Give {first} or a later day."},
        )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _end_of_month(day: date) -> datetime:
    return _midnight((day.replace(day=1) + timedelta(days=32)).replace(day=1))


@contextmanager
def _roomy() -> Iterator[None]:
    """Memory for the one statement that groups many rows, and time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('work_mem', %s, true), set_config('statement_timeout', %s, true)",
            [_WORK_MEMORY, f"{_LONG.total_seconds():.0f}s"],
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem TO DEFAULT; SET LOCAL statement_timeout TO DEFAULT")


def _be_patient() -> None:
    """Wait for a lock as long as whoever has it may take."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{_LONG.total_seconds():.0f}s"])


def _row(statement: str, given: dict[str, Any] | None = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return cursor.fetchone()


def _ask(statement: str, given: dict[str, Any] | None = None) -> Any:
    (found,) = _row(statement, given)
    return found
