"""Which roll-ups a range is read from."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.costs.rollup_reading import Dimension, Part, of_range, parts
from apps.costs.rollup_tables import DAYS, DAYS_BY_WHAT, DAYS_BY_WHOM, HOURS, MONTHS, ROLLUPS, Rollup

days = st.dates(date(2023, 1, 1), date(2027, 12, 31))
dimensions = st.sets(st.sampled_from(Dimension), max_size=2)


def covered(part: Part) -> list[date]:
    """The days of a part; of months, to the end of the last."""
    if part.rollup is MONTHS:
        assert part.first.day == 1
        assert (part.last + timedelta(days=1)).day == 1
    return [part.first + timedelta(days=step) for step in range((part.last - part.first).days + 1)]


@given(one=days, other=days, by=dimensions)
def test_every_day_of_a_range_is_read_once_and_no_other(one: date, other: date, by: set[Dimension]) -> None:
    since, until = min(one, other), max(one, other)

    read = sorted(day for part in parts(since, until, by=by) for day in covered(part))

    assert read == [since + timedelta(days=step) for step in range((until - since).days + 1)]


@given(one=days, other=days, by=dimensions)
def test_nothing_coarser_is_read_than_what_is_asked_for(one: date, other: date, by: set[Dimension]) -> None:
    read = {part.rollup for part in parts(min(one, other), max(one, other), by=by)}

    if Dimension.HOUR in by:
        assert read == {HOURS}
    elif Dimension.DAY in by:
        assert all("day" in each.periods and each is not HOURS for each in read)
    else:
        assert HOURS not in read


@given(one=days, other=days, by=dimensions)
def test_whatever_is_read_tells_apart_what_is_asked_for(one: date, other: date, by: set[Dimension]) -> None:
    asked = {each.column for each in by - {Dimension.HOUR, Dimension.DAY, Dimension.MONTH}}

    for part in parts(min(one, other), max(one, other), by=by):
        assert asked <= set(part.rollup.key)


@pytest.mark.parametrize(
    ("by", "rollup"),
    [
        ([Dimension.DAY, Dimension.MODEL], DAYS_BY_WHAT),
        ([Dimension.PROVIDER, Dimension.TASK_KIND], DAYS_BY_WHAT),
        ([], DAYS_BY_WHAT),
        ([Dimension.DAY, Dimension.CAMPAIGN], DAYS_BY_WHOM),
        ([Dimension.MODEL, Dimension.CAMPAIGN], DAYS),
    ],
)
def test_days_are_read_where_they_have_the_fewest_rows(by: list[Dimension], rollup: Rollup) -> None:
    assert [part.rollup for part in parts(date(2026, 3, 2), date(2026, 3, 9), by=by)] == [rollup]


@pytest.mark.parametrize(
    ("by", "only", "rollup"),
    [
        (Dimension.DAY, Dimension.MODEL, DAYS_BY_WHAT),
        (Dimension.USER, Dimension.CAMPAIGN, DAYS_BY_WHOM),
        (Dimension.MODEL, Dimension.CAMPAIGN, DAYS),
        (Dimension.HOUR, Dimension.USER, HOURS),
    ],
)
def test_days_are_read_where_a_filter_is_told_apart_too(
    by: Dimension, only: Dimension, rollup: Rollup
) -> None:
    source = of_range(uuid7(), date(2026, 3, 2), date(2026, 3, 9), by=[by], only={only: "this"})
    read = [each.table for each in ROLLUPS if f"FROM {each.table} " in source.sql]
    assert read == [rollup.table]


@pytest.mark.parametrize(
    ("since", "until", "tables"),
    [
        (date(2026, 3, 1), date(2026, 3, 31), ["month"]),
        (date(2026, 3, 2), date(2026, 4, 29), ["day"]),
        (date(2026, 3, 31), date(2026, 5, 1), ["month", "day", "day"]),
        (date(2025, 12, 1), date(2026, 1, 31), ["month"]),
    ],
)
def test_whole_months_are_read_as_such(since: date, until: date, tables: list[str]) -> None:
    assert [part.rollup.period for part in parts(since, until, by=[Dimension.MODEL])] == tables
