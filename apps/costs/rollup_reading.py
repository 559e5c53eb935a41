"""Sums over the ledger by any of its dimensions, from the coarsest roll-ups that give them, and its tail.

Each reading is one statement, so that the tail and the roll-ups are of the same moment (docs/costs.md). It
runs in the caller's transaction and sees what that may see.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import connection


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


SUMS = ("attempts", "estimated", "input_tokens", "cached_tokens", "output_tokens", "amount")
_SUMMED = ", ".join(f"sum({name}) AS {name}" for name in SUMS)


@dataclass(frozen=True, slots=True)
class Part:
    """The periods of one table from `first` to `last`, both included."""

    table: str
    period: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Source:
    """A part of a statement, FROM (…), with its parameters."""

    sql: str
    parameters: list[Any]


def parts(since: date, until: date, *, by: Iterable[Dimension]) -> list[Part]:
    """What a range of days is read from: whole months where that is fine enough, days for the rest."""
    wanted = set(by)
    if Dimension.HOUR in wanted:
        return [Part("costs_hourrollup", "day", since, until)]
    first = since if since.day == 1 else _next_month(since)
    last = _month(until + timedelta(days=1)) - timedelta(days=1)
    if Dimension.DAY in wanted or first > last:
        return [Part("costs_dayrollup", "day", since, until)]
    found = [Part("costs_monthrollup", "month", first, last)]
    if since < first:
        found.append(Part("costs_dayrollup", "day", since, first - timedelta(days=1)))
    if last < until:
        found.append(Part("costs_dayrollup", "day", last + timedelta(days=1), until))
    return found


def of_range(tenant_id: UUID, since: date, until: date, *, by: Sequence[Dimension]) -> Source:
    """A tenant's rows of some days, with the columns of `by` and the sums."""
    sql, parameters = [], []
    for part in parts(since, until, by=by):
        columns = ", ".join([*(_from(part.table, each) for each in by), *SUMS])
        sql.append(
            f"SELECT {columns} FROM {part.table} WHERE tenant_id = %s AND {part.period} BETWEEN %s AND %s"
        )
        parameters += [tenant_id, part.first, part.last]
    columns = ", ".join([*(each.column for each in by), *SUMS])
    sql.append(f"SELECT {columns} FROM costs_ledger_tail(%s, %s, %s)")
    return Source(" UNION ALL ".join(sql), [*parameters, tenant_id, since, until])


def of_spans(tenant_id: UUID, spans: Mapping[str, tuple[date, date]], *, by: Sequence[Dimension]) -> Source:
    """A tenant's rows of several spans of days, which may overlap; the first column says of which."""
    columns = ", ".join([*(each.column for each in by), *SUMS])
    sql, parameters = [], []
    for name, (since, until) in spans.items():
        for part in parts(since, until, by=by):
            sql.append(
                f"SELECT %s AS span, {columns} FROM {part.table}"
                f" WHERE tenant_id = %s AND {part.period} BETWEEN %s AND %s"
            )
            parameters += [name, tenant_id, part.first, part.last]
    sql.append(
        f"SELECT span.name, {columns} FROM costs_ledger_tail(%s, %s, %s) AS tail"
        " JOIN unnest(%s::text[], %s::date[], %s::date[]) AS span (name, since, until)"
        " ON tail.day BETWEEN span.since AND span.until"
    )
    firsts, lasts = [since for since, _ in spans.values()], [until for _, until in spans.values()]
    parameters += [tenant_id, min(firsts), max(lasts), list(spans), firsts, lasts]
    return Source(" UNION ALL ".join(sql), parameters)


def of_campaigns(campaign_ids: Sequence[UUID], *, by: Sequence[Dimension]) -> Source:
    """All that some campaigns' rows have ever come to."""
    columns = ", ".join([*(each.column for each in by), *SUMS])
    sql = " UNION ALL ".join(
        f"SELECT {columns} FROM {table} WHERE campaign_id = ANY(%s)"
        for table in ("costs_monthrollup", "costs_ledger_tail(NULL, NULL, NULL)")
    )
    return Source(sql, [list(campaign_ids)] * 2)


def summed(
    source: Source, *columns: str, only: Mapping[str, Sequence[Any]] | None = None
) -> list[tuple[Any, ...]]:
    """The sums of each group, in no order: the values of the columns, then those of SUMS.

    `only` names columns and the values that rows must have there.
    """
    among = only or {}
    where = f"WHERE {' AND '.join(f'{name} = ANY(%s)' for name in among)}" if among else ""
    grouped = f"GROUP BY {', '.join(columns)}" if columns else ""
    statement = f"SELECT {', '.join([*columns, _SUMMED])} FROM ({source.sql}) AS read {where} {grouped}"
    return _rows(statement, [*source.parameters, *map(list, among.values())])


def ranked(
    source: Source, *, by: Sequence[Dimension], order: Sequence[tuple[str, bool]], limit: int
) -> list[tuple[Any, ...]]:
    """The first groups in an order of columns (True: descending), nothing known last.

    To the values of `by` and SUMS each row adds how many groups there are, and their sums altogether.
    """
    columns = ", ".join(each.column for each in by)
    ordered = [f"{name} {'DESC' if down else 'ASC'} NULLS LAST" for name, down in order]
    ordered += [f"{each.column} ASC NULLS LAST" for each in by if each.column not in dict(order)]
    everything = ", ".join(f"sum(sum({name})) OVER ()" for name in SUMS)
    statement = (
        f"SELECT {columns}, {_SUMMED}, count(*) OVER (), {everything} FROM ({source.sql}) AS read"
        f" GROUP BY {columns} ORDER BY {', '.join(ordered)} LIMIT %s"
    )
    return _rows(statement, [*source.parameters, limit])


def _from(table: str, dimension: Dimension) -> str:
    if dimension is Dimension.MONTH and table != "costs_monthrollup":
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
