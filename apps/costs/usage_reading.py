"""The ledger as providers bill it: by UTC day and model, over all tenants.

It runs in the caller's transaction, the system's, since a provider knows our keys and not our tenants.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from apps.costs.reconciliation import Key, Ours
from apps.costs.rollup_statements import KEPT_SINCE

# An estimate stands until it is corrected: a later entry of its attempt.
_STANDS = """CASE WHEN entry.estimated AND entry.sequence = 0 THEN NOT EXISTS (
        SELECT FROM costs_ledgerentry AS later
        WHERE later.occurred_at = entry.occurred_at AND later.generation_id = entry.generation_id
            AND later.attempt = entry.attempt AND later.sequence > 0
    ) ELSE false END"""

_BY_DAY = f"""
SELECT (entry.occurred_at AT TIME ZONE 'UTC')::date AS day, entry.model,
    count(*) FILTER (WHERE entry.sequence = 0), sum(entry.input_tokens), sum(entry.cached_tokens),
    sum(entry.output_tokens), sum(entry.amount), count(*) FILTER (WHERE entry.stands),
    coalesce(sum(entry.amount) FILTER (WHERE entry.stands), 0),
    array_agg(entry.id) FILTER (WHERE entry.stands)
FROM (
    SELECT entry.*, {_STANDS} AS stands FROM costs_ledgerentry AS entry
    WHERE entry.occurred_at >= %s AND entry.occurred_at < %s AND entry.provider = %s
) AS entry
GROUP BY day, entry.model
"""  # noqa: S608  # only the constant above is inserted

# A hold has its attempt's number and generation too, so there is one for each.
_ESTIMATES = f"""
SELECT (entry.occurred_at AT TIME ZONE 'UTC')::date, entry.model, entry.tenant_id, hold.id,
    entry.generation_id, entry.attempt, entry.amount, entry.id
FROM costs_ledgerentry AS entry
JOIN costs_hold AS hold ON hold.generation_id = entry.generation_id AND hold.attempt = entry.attempt
WHERE entry.occurred_at >= %s AND entry.occurred_at < %s AND entry.provider = %s AND {_STANDS}
ORDER BY entry.occurred_at, hold.id
"""  # noqa: S608  # as above


@dataclass(frozen=True, slots=True)
class Estimate:
    """An attempt that still stands at its bound, by the entry of this id."""

    tenant_id: UUID
    hold_id: UUID
    generation_id: UUID
    attempt: int
    bound: Decimal
    entry_id: int


def usage_by_day(*, provider: str, since: date, until: date) -> dict[Key, Ours]:
    """What the ledger has of a provider's days, both included."""
    return {
        (day, model): Ours(
            int(requests),
            int(given),
            int(cached),
            int(output),
            amount,
            estimates,
            estimated,
            frozenset(ids or ()),
        )
        for day, model, requests, given, cached, output, amount, estimates, estimated, ids in _rows(
            _BY_DAY, provider, since, until
        )
    }


def kept_since() -> date | None:
    """The first day, in UTC, of which the ledger has its entries; None where it has no partition."""
    with connection.cursor() as cursor:
        cursor.execute(KEPT_SINCE)
        (first,) = cursor.fetchone()
    return first.astimezone(UTC).date() if first else None


def standing_estimates(*, provider: str, since: date, until: date) -> dict[Key, list[Estimate]]:
    """The attempts that stand at their bound, the oldest first."""
    found: dict[Key, list[Estimate]] = {}
    for day, model, *columns in _rows(_ESTIMATES, provider, since, until):
        found.setdefault((day, model), []).append(Estimate(*columns))
    return found


def _rows(statement: str, provider: str, since: date, until: date) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        # A year of a long ledger is read as a whole.
        cursor.execute("SELECT set_config('statement_timeout', '600s', true)")
        cursor.execute(statement, [_midnight(since), _midnight(until + timedelta(days=1)), provider])
        found: list[tuple[Any, ...]] = cursor.fetchall()
        cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
