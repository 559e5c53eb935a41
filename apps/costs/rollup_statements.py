"""The SQL that moves the ledger's entries into its roll-ups: set by set, never an entry at a time."""

from apps.costs.rollup_tables import (
    DAYS,
    DAYS_BY_WHAT,
    DAYS_BY_WHOM,
    HOURS,
    MONTHS,
    ROLLUPS,
    SUMS,
    Rollup,
)

_LABELS = {
    "hour": "date_trunc('hour', entry.occurred_at, {zone})",
    "day": "(entry.occurred_at AT TIME ZONE {zone})::date",
    "month": "date_trunc('month', entry.occurred_at AT TIME ZONE {zone})::date",
}
# Of entries. A correction of an estimate ends it, and is no further attempt.
_SUMMED = """count(*) FILTER (WHERE entry.sequence = 0) AS attempts,
        count(*) FILTER (WHERE entry.estimated) - count(*) FILTER (WHERE entry.sequence = 1) AS estimated,
        sum(entry.input_tokens) AS input_tokens, sum(entry.cached_tokens) AS cached_tokens,
        sum(entry.output_tokens) AS output_tokens, sum(entry.amount) AS amount"""


def _columns(names: tuple[str, ...], *, of: str = "") -> str:
    return ", ".join(f"{of}{name}" for name in names)


def _label(period: str, zone: str) -> str:
    return _LABELS[period].format(zone=zone)


def _key(rollup: Rollup) -> tuple[str, ...]:
    return ("tenant_id", *rollup.periods, *rollup.key)


def _add_to(rollup: Rollup, rows: str) -> str:
    """Add sums to a roll-up's rows, which may be there already."""
    key = _key(rollup)
    added = ", ".join(f"{name} = rollup.{name} + excluded.{name}" for name in SUMS)
    return f"""INSERT INTO {rollup.table} AS rollup ({_columns((*key, *SUMS))})
    {rows}
    ON CONFLICT ({_columns(key)}) DO UPDATE SET {added}"""


def _fold() -> str:
    again = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    of_entry = _columns(("tenant_id", *HOURS.key), of="entry.")
    hours = f"SELECT {_columns((*_key(HOURS), *SUMS))} FROM hourly ORDER BY tenant_id, day, hour"
    days = f"SELECT {_columns((*_key(DAYS), *SUMS))} FROM daily ORDER BY tenant_id, day"
    months = f"""SELECT tenant_id, date_trunc('month', day)::date AS month, {_columns(MONTHS.key)}, {again}
    FROM daily GROUP BY {_columns(_key(MONTHS))}"""
    by_what, by_whom = (
        f"SELECT {_columns(_key(each))}, {again} FROM daily GROUP BY {_columns(_key(each))}"
        for each in (DAYS_BY_WHAT, DAYS_BY_WHOM)
    )
    return f"""
WITH calendar AS MATERIALIZED (
    SELECT tenant_id, zone FROM costs_calendar
), hourly AS MATERIALIZED (
    SELECT {of_entry}, {_label("day", "local.zone")} AS day, {_label("hour", "local.zone")} AS hour, {_SUMMED}
    FROM costs_ledgerentry AS entry
    LEFT JOIN calendar ON calendar.tenant_id = entry.tenant_id
    CROSS JOIN LATERAL (SELECT coalesce(calendar.zone, 'UTC') AS zone) AS local
    WHERE entry.ledger_generation = %(generation)s
        AND entry.txid >= %(since)s::xid8 AND entry.txid < %(until)s::xid8
    GROUP BY {of_entry}, day, hour
), daily AS MATERIALIZED (
    SELECT {_columns(_key(DAYS))}, {again} FROM hourly GROUP BY {_columns(_key(DAYS))}
), hours AS (
    {_add_to(HOURS, hours)}
), days AS (
    {_add_to(DAYS, days)}
), by_what AS (
    {_add_to(DAYS_BY_WHAT, by_what)}
), by_whom AS (
    {_add_to(DAYS_BY_WHOM, by_whom)}
)
{_add_to(MONTHS, months)}
"""


# Adds the entries of the transactions from `since` up to `until` to all roll-ups. The ledger is read once;
# each of them is made from a finer one.
FOLD = _fold()

# Whose roll-ups, by which zone, and the first day and month that the ledger still has as a whole: of a period
# that began before, some entries may be gone, so its row stays as it is.
_CALENDAR = """
WITH calendar AS MATERIALIZED (
    SELECT calendar.tenant_id, calendar.zone,
        (local.kept + interval '1 day' - interval '1 microsecond')::date AS kept_day,
        date_trunc('month', local.kept + interval '1 month' - interval '1 microsecond')::date AS kept_month
    FROM costs_calendar AS calendar
    CROSS JOIN LATERAL (SELECT %(kept_since)s::timestamptz AT TIME ZONE calendar.zone AS kept) AS local
    WHERE %(tenant)s::uuid IS NULL OR calendar.tenant_id = %(tenant)s
)"""
_BELOW = "(entry.ledger_generation, entry.txid) < (%(generation)s, %(txid)s::xid8)"


def _within(rollup: Rollup, label: str) -> str:
    """Those periods of the range asked for that are kept whole; of months, all that it touches."""
    coarse = rollup.period
    since = f"date_trunc('{coarse}', %(since)s::date::timestamp)::date"
    last = "coalesce(%(until)s::date, 'infinity')"
    return f"{label} >= greatest(calendar.kept_{coarse}, {since}) AND {label} <= {last}"


def _forget(rollup: Rollup) -> str:
    return f"""{_CALENDAR}
DELETE FROM {rollup.table} AS rollup USING calendar
WHERE rollup.tenant_id = calendar.tenant_id AND {_within(rollup, f"rollup.{rollup.period}")}
"""


def _sum_up(rollup: Rollup) -> str:
    of_entry = _columns(("tenant_id", *rollup.key), of="entry.")
    periods = ", ".join(f"{_label(each, 'calendar.zone')} AS {each}" for each in rollup.periods)
    rows = f"""SELECT {of_entry}, {periods}, {_SUMMED}
    FROM costs_ledgerentry AS entry JOIN calendar ON calendar.tenant_id = entry.tenant_id
    WHERE {_BELOW}
        AND entry.occurred_at >= %(loosely_since)s AND entry.occurred_at < %(loosely_until)s
        AND {_within(rollup, _label(rollup.period, "calendar.zone"))}
    GROUP BY {of_entry}, {_columns(rollup.periods)}"""
    named = f"SELECT {_columns((*_key(rollup), *SUMS))} FROM ({rows}) AS summed"
    return f"{_CALENDAR}\n{_add_to(rollup, named)}"


def _move(rollup: Rollup) -> str:
    key, of_entry = _key(rollup), _columns(("tenant_id", *rollup.key), of="entry.")
    labels = ", ".join(f"{_label(each, 'local.zone')} AS {each}" for each in rollup.periods)
    moved = ", ".join(f"sum(sign * {name}) AS {name}" for name in SUMS)
    changed = " OR ".join(f"sum(sign * {name}) <> 0" for name in SUMS)
    rows = f"""SELECT {_columns(key)}, {moved}
    FROM (
        SELECT {of_entry}, {labels}, local.sign, {_SUMMED}
        FROM costs_ledgerentry AS entry
        CROSS JOIN (
            SELECT -1, zone FROM costs_calendar WHERE tenant_id = %(tenant)s
            UNION ALL SELECT 1, costs_zone(%(zone)s)
        ) AS local (sign, zone)
        WHERE entry.tenant_id = %(tenant)s AND {_BELOW}
        GROUP BY {of_entry}, {_columns(rollup.periods)}, local.sign
    ) AS summed
    GROUP BY {_columns(key)} HAVING {changed}"""
    return _add_to(rollup, rows)


def _sweep(rollup: Rollup) -> str:
    nothing = " AND ".join(f"{name} = 0" for name in SUMS)
    return f"DELETE FROM {rollup.table} WHERE tenant_id = %(tenant)s AND {nothing}"


# Make the rows of a range anew from the ledger.
RECOMPUTE = [(_forget(rollup), _sum_up(rollup)) for rollup in ROLLUPS]

# Take a tenant's entries out of the periods of its old zone and into those of a new one. What rows hold of
# entries that are gone stays where it is.
MOVE = [(_move(rollup), _sweep(rollup)) for rollup in ROLLUPS]

# The first day that all the tenants concerned have whole.
FIRST_WHOLE_DAY = f"{_CALENDAR}\nSELECT max(kept_day) FROM calendar"

KEPT_SINCE = """
SELECT min(to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM'))::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits WHERE inhparent = 'costs_ledgerentry'::regclass
"""
