"""The SQL that moves the ledger's entries into its roll-ups: set by set, never an entry at a time."""

_KEY = ("provider", "model", "task_kind", "account_id", "campaign_id", "user_id")
_SUMS = ("attempts", "estimated", "input_tokens", "cached_tokens", "output_tokens", "amount")
_OF_ENTRY = ("tenant_id", *_KEY)
# The columns that name a period, in each table, and the one of them that a range of days is compared with.
_PERIODS = {
    "costs_hourrollup": ("day", "hour"),
    "costs_dayrollup": ("day",),
    "costs_monthrollup": ("month",),
}
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


def _add_to(table: str, rows: str) -> str:
    """Add sums to a roll-up's rows, which may be there already."""
    key = ("tenant_id", *_PERIODS[table], *_KEY)
    added = ", ".join(f"{name} = rollup.{name} + excluded.{name}" for name in _SUMS)
    return f"""INSERT INTO {table} AS rollup ({_columns((*key, *_SUMS))})
    {rows}
    ON CONFLICT ({_columns(key)}) DO UPDATE SET {added}"""


def _fold() -> str:
    of_day, of_month = ("tenant_id", "day", *_KEY), ("tenant_id", "month", *_KEY)
    again = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    hours = f"""SELECT {_columns(("tenant_id", "day", "hour", *_KEY, *_SUMS))}
    FROM hourly ORDER BY tenant_id, day, hour"""
    days = f"SELECT {_columns((*of_day, *_SUMS))} FROM daily ORDER BY tenant_id, day"
    months = f"""SELECT tenant_id, date_trunc('month', day)::date AS month, {_columns(_KEY)}, {again}
    FROM daily GROUP BY {_columns(of_month)}"""
    return f"""
WITH calendar AS MATERIALIZED (
    SELECT tenant_id, zone FROM costs_calendar
), hourly AS MATERIALIZED (
    SELECT {_columns(_OF_ENTRY, of="entry.")}, {_label("day", "local.zone")} AS day,
        {_label("hour", "local.zone")} AS hour, {_SUMMED}
    FROM costs_ledgerentry AS entry
    LEFT JOIN calendar ON calendar.tenant_id = entry.tenant_id
    CROSS JOIN LATERAL (SELECT coalesce(calendar.zone, 'UTC') AS zone) AS local
    WHERE entry.ledger_generation = %(generation)s
        AND entry.txid >= %(since)s::xid8 AND entry.txid < %(until)s::xid8
    GROUP BY {_columns(_OF_ENTRY, of="entry.")}, day, hour
), daily AS MATERIALIZED (
    SELECT {_columns(of_day)}, {again} FROM hourly GROUP BY {_columns(of_day)}
), hours AS (
    {_add_to("costs_hourrollup", hours)}
), days AS (
    {_add_to("costs_dayrollup", days)}
)
{_add_to("costs_monthrollup", months)}
"""


# Adds the entries of the transactions from `since` up to `until` to all three. The ledger is read once; each
# roll-up is made from the finer one.
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


def _within(table: str, label: str) -> str:
    """Those periods of the range asked for that are kept whole; of months, all that it touches."""
    coarse = _coarsest(table)
    since = f"date_trunc('{coarse}', %(since)s::date::timestamp)::date"
    last = "coalesce(%(until)s::date, 'infinity')"
    return f"{label} >= greatest(calendar.kept_{coarse}, {since}) AND {label} <= {last}"


def _coarsest(table: str) -> str:
    return _PERIODS[table][0]


def _forget(table: str) -> str:
    return f"""{_CALENDAR}
DELETE FROM {table} AS rollup USING calendar
WHERE rollup.tenant_id = calendar.tenant_id AND {_within(table, f"rollup.{_coarsest(table)}")}
"""


def _sum_up(table: str) -> str:
    periods = ", ".join(f"{_label(each, 'calendar.zone')} AS {each}" for each in _PERIODS[table])
    rows = f"""SELECT {_columns(_OF_ENTRY, of="entry.")}, {periods}, {_SUMMED}
    FROM costs_ledgerentry AS entry JOIN calendar ON calendar.tenant_id = entry.tenant_id
    WHERE {_BELOW}
        AND entry.occurred_at >= %(loosely_since)s AND entry.occurred_at < %(loosely_until)s
        AND {_within(table, _label(_coarsest(table), "calendar.zone"))}
    GROUP BY {_columns(_OF_ENTRY, of="entry.")}, {_columns(_PERIODS[table])}"""
    named = f"SELECT {_columns(('tenant_id', *_PERIODS[table], *_KEY, *_SUMS))} FROM ({rows}) AS summed"
    return f"{_CALENDAR}\n{_add_to(table, named)}"


def _move(table: str) -> str:
    key, periods = ("tenant_id", *_PERIODS[table], *_KEY), _PERIODS[table]
    labels = ", ".join(f"{_label(each, 'local.zone')} AS {each}" for each in periods)
    moved = ", ".join(f"sum(sign * {name}) AS {name}" for name in _SUMS)
    changed = " OR ".join(f"sum(sign * {name}) <> 0" for name in _SUMS)
    rows = f"""SELECT {_columns(key)}, {moved}
    FROM (
        SELECT {_columns(_OF_ENTRY, of="entry.")}, {labels}, local.sign, {_SUMMED}
        FROM costs_ledgerentry AS entry
        CROSS JOIN (
            SELECT -1, zone FROM costs_calendar WHERE tenant_id = %(tenant)s
            UNION ALL SELECT 1, costs_zone(%(zone)s)
        ) AS local (sign, zone)
        WHERE entry.tenant_id = %(tenant)s AND {_BELOW}
        GROUP BY {_columns(_OF_ENTRY, of="entry.")}, {_columns(periods)}, local.sign
    ) AS summed
    GROUP BY {_columns(key)} HAVING {changed}"""
    return _add_to(table, rows)


def _sweep(table: str) -> str:
    nothing = " AND ".join(f"{name} = 0" for name in _SUMS)
    return f"DELETE FROM {table} WHERE tenant_id = %(tenant)s AND {nothing}"


# Make the rows of a range anew from the ledger.
RECOMPUTE = [(_forget(table), _sum_up(table)) for table in _PERIODS]

# Take a tenant's entries out of the periods of its old zone and into those of a new one. What rows hold of
# entries that are gone stays where it is.
MOVE = [(_move(table), _sweep(table)) for table in _PERIODS]

# The first day that all the tenants concerned have whole.
FIRST_WHOLE_DAY = f"{_CALENDAR}\nSELECT max(kept_day) FROM calendar"

KEPT_SINCE = """
SELECT min(to_date(right(inhrelid::regclass::text, 7), 'YYYY_MM'))::timestamp AT TIME ZONE 'UTC'
FROM pg_inherits WHERE inhparent = 'costs_ledgerentry'::regclass
"""
