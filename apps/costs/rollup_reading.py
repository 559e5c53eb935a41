"""Sums over the ledger by any of its dimensions, from the coarsest roll-ups that give them, and its tail.

Each reading is one statement, so that the tail and the roll-ups are of the same moment (docs/costs.md). It
runs in the caller's transaction and sees what that may see.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection

from apps.costs.currencies import Conversion
from apps.costs.rollup_tables import DAYS, DAYS_BY_WHAT, DAYS_BY_WHOM, HOURS, MONTHS, SUMS, WHAT, WHOM, Rollup


class Dimension(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    PROVIDER = "provider"
    MODEL = "model"
    TASK_KIND = "task_kind"
    ACCOUNT = "account"
    CAMPAIGN = "campaign"
    USER = "user"

    @property
    def column(self) -> str:
        return f"{self}_id" if self in (Dimension.ACCOUNT, Dimension.CAMPAIGN, Dimension.USER) else str(self)


# Those that are no period.
OF_CALLS = [each for each in Dimension if each.column in (*WHAT, *WHOM)]

_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
# What a sum leaves out for want of a rate would make it a wrong one.
_CONVERTED = "CASE WHEN count(*) = count(converted) THEN coalesce(sum(converted), 0) END AS converted"
_CONVERTED_IN_ALL = (
    "CASE WHEN sum(count(*) - count(converted)) OVER () = 0 THEN sum(coalesce(sum(converted), 0)) OVER () END"
)
_RATES = "unnest(%s::date[], %s::numeric[])"


@dataclass(frozen=True, slots=True)
class Part:
    """The periods of one roll-up from `first` to `last`, both included."""

    rollup: Rollup
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a statement, FROM (…), with its parameters; `converts`: it has each amount converted too."""

    sql: str
    parameters: list[Any]
    converts: bool = False


def parts(since: date, until: date, *, by: Iterable[Dimension], whole_before: date = date.max) -> list[Part]:
    """What a range of days is read from: whole months where that is fine enough, days for the rest.

    From the month `whole_before` on, nothing but days is fine enough.
    """
    wanted = set(by)
    if Dimension.HOUR in wanted:
        return [Part(HOURS, since, until)]
    days = _days(wanted)
    first = since if since.day == 1 else _next_month(since)
    last = min(_month(until + timedelta(days=1)), whole_before) - timedelta(days=1)
    if Dimension.DAY in wanted or first > last:
        return [Part(days, since, until)]
    found = [Part(MONTHS, first, last)]
    if since < first:
        found.append(Part(days, since, first - timedelta(days=1)))
    if last < until:
        found.append(Part(days, last + timedelta(days=1), until))
    return found


def _days(wanted: set[Dimension]) -> Rollup:
    """The days with the fewest rows that still tell these dimensions apart."""
    asked = {each.column for each in wanted - {Dimension.DAY, Dimension.MONTH}}
    if asked <= set(WHAT):
        return DAYS_BY_WHAT
    return DAYS_BY_WHOM if asked <= set(WHOM) else DAYS


def of_range(
    tenant_id: UUID,
    since: date,
    until: date,
    *,
    by: Sequence[Dimension],
    only: Mapping[Dimension, Any] | None = None,
    conversion: Conversion | None = None,
) -> Source:
    """A tenant's rows of some days, with the columns of `by` and the sums, and converted if asked for.

    `only` has the values that the rows must have in other dimensions, or the same.
    """
    among = only or {}
    where = " AND ".join(f"{each.column} = %s" for each in among)
    read, parameters, whole_before = [], [], conversion.whole_before if conversion else date.max
    found = parts(since, until, by=[*by, *among], whole_before=whole_before)
    for part in found:
        columns = ", ".join([*(_from(part.rollup, each) for each in by), *SUMS])
        rated, rates = _rated(part, conversion)
        read.append(
            f"SELECT {columns}{rated} WHERE tenant_id = %s AND {part.rollup.period} BETWEEN %s AND %s"
            f"{where and f' AND {where}'}"
        )
        parameters += [*rates, tenant_id, part.first, part.last, *among.values()]
    columns = ", ".join([*(each.column for each in by), *SUMS])
    whole = next((each for each in found if each.rollup is MONTHS), None)
    rated, rates = _rated_tail([tenant_id, since, until], conversion)
    between = [whole.first, whole.last] if whole else [date.max, date.max]
    tail = rated.format(whole="day BETWEEN %s AND %s")
    read.append(f"SELECT {columns}{tail}{where and f' WHERE {where}'}")
    parameters += [*(between if conversion else []), *rates, *among.values()]
    return Source(" UNION ALL ".join(read), parameters, converts=conversion is not None)


def of_spans(
    tenant_id: UUID,
    spans: Mapping[str, tuple[date, date]],
    *,
    by: Sequence[Dimension],
    conversion: Conversion | None = None,
) -> Source:
    """A tenant's rows of several spans of days, which may overlap; the first column says of which."""
    columns = ", ".join([*(each.column for each in by), *SUMS])
    whole_before = conversion.whole_before if conversion else date.max
    read, parameters, whole = [], [], set()
    for name, (since, until) in spans.items():
        for part in parts(since, until, by=by, whole_before=whole_before):
            rated, rates = _rated(part, conversion)
            read.append(
                f"SELECT %s AS span, {columns}{rated}"
                f" WHERE tenant_id = %s AND {part.rollup.period} BETWEEN %s AND %s"
            )
            parameters += [name, *rates, tenant_id, part.first, part.last]
            whole |= {name} if part.rollup is MONTHS else set()
    firsts, lasts = [since for since, _ in spans.values()], [until for _, until in spans.values()]
    rated, rates = _rated_tail([tenant_id, min(firsts), max(lasts)], conversion)
    read.append(
        f"SELECT span.name, {columns}{rated.format(whole='span.name = ANY(%s)')}"
        " JOIN unnest(%s::text[], %s::date[], %s::date[]) AS span (name, since, until)"
        " ON tail.day BETWEEN span.since AND span.until"
    )
    parameters += [*([sorted(whole)] if conversion else []), *rates, list(spans), firsts, lasts]
    return Source(" UNION ALL ".join(read), parameters, converts=conversion is not None)


def of_campaigns(campaign_ids: Sequence[UUID], *, by: Sequence[Dimension]) -> Source:
    """All that some campaigns' rows have ever come to. `by` has no periods."""
    columns = ", ".join([*(each.column for each in by), *SUMS])
    sql = (
        f"SELECT {columns} FROM {MONTHS.table} WHERE campaign_id = ANY(%s)"
        f" UNION ALL SELECT {columns} FROM costs_ledger_tail_of_campaigns(%s)"
    )
    return Source(sql, [list(campaign_ids)] * 2)


def summed(
    source: Source, *columns: str, only: Mapping[str, Sequence[Any]] | None = None
) -> list[tuple[Any, ...]]:
    """The sums of each group, in no order: the values of the columns, then those of SUMS.

    `only` names columns and the values that rows must have there. Of a source that converts there is one
    more: the sum of what was converted, null if something wasn't.
    """
    among = only or {}
    where = f"WHERE {' AND '.join(f'{name} = ANY(%s)' for name in among)}" if among else ""
    grouped = f"GROUP BY {', '.join(columns)}" if columns else ""
    sums = [*columns, _SUMMED, *([_CONVERTED] if source.converts else [])]
    statement = f"SELECT {', '.join(sums)} FROM ({source.sql}) AS read {where} {grouped}"
    return _rows(statement, [*source.parameters, *map(list, among.values())])


def ranked(
    source: Source, *, by: Sequence[Dimension], order: Sequence[tuple[str, bool]], limit: int
) -> list[tuple[Any, ...]]:
    """The first groups in an order of columns (True: descending), nothing known last.

    A row has the values of `by` and the sums; then how many groups there are, and their sums altogether. Of
    a source that converts, what was converted follows the sums, of the group and of all.
    """
    columns = ", ".join(each.column for each in by)
    ordered = [f"{name} {'DESC' if down else 'ASC'} NULLS LAST" for name, down in order]
    ordered += [f"{each.column} ASC NULLS LAST" for each in by if each.column not in dict(order)]
    of_group, of_all = [_SUMMED], [f"sum(sum({name})) OVER ()" for name in SUMS]
    if source.converts:
        of_group.append(_CONVERTED)
        of_all.append(_CONVERTED_IN_ALL)
    selected = ", ".join([columns, *of_group, "count(*) OVER ()", *of_all])
    statement = (
        f"SELECT {selected} FROM ({source.sql}) AS read"
        f" GROUP BY {columns} ORDER BY {', '.join(ordered)} LIMIT %s"
    )
    return _rows(statement, [*source.parameters, limit])


def _rated(part: Part, conversion: Conversion | None) -> tuple[str, list[Any]]:
    """FROM a table of roll-ups, and before it, in its select list, each amount converted."""
    table, period = part.rollup.table, part.rollup.period
    if conversion is None:
        return f" FROM {table}", []
    rates = conversion.months if part.rollup is MONTHS else conversion.days
    joined = f" FROM {table} LEFT JOIN {_RATES} AS rate (rated, per_usd) ON rated = {period}"
    return f", amount * per_usd AS converted{joined}", _arrays(rates)


def _rated_tail(arguments: list[Any], conversion: Conversion | None) -> tuple[str, list[Any]]:
    """The same of the tail; `{whole}` has to say which of its rows are read with a whole month."""
    tail = " FROM costs_ledger_tail(%s, %s, %s) AS tail"
    if conversion is None:
        return tail, arguments
    return (
        ", amount * CASE WHEN {whole} THEN by_month ELSE by_day END AS converted"
        f"{tail} LEFT JOIN {_RATES} AS day_rate (rated_day, by_day) ON rated_day = tail.day"
        f" LEFT JOIN {_RATES} AS month_rate (rated_month, by_month) ON rated_month = tail.month",
        [*arguments, *_arrays(conversion.days), *_arrays(conversion.months)],
    )


def _arrays(rates: Mapping[date, Decimal]) -> list[Any]:
    return [list(rates), list(rates.values())]


def _from(rollup: Rollup, dimension: Dimension) -> str:
    if dimension is Dimension.MONTH and rollup is not MONTHS:
        return "date_trunc('month', day::timestamp)::date AS month"
    return dimension.column


def _rows(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _month(day: date) -> date:
    return day.replace(day=1)


def _next_month(day: date) -> date:
    return _month(_month(day) + timedelta(days=32))
