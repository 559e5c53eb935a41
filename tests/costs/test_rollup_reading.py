"""Which roll-ups a range is read from."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.costs.rollup_reading import Dimension, Part, parts

days = st.dates(date(2023, 1, 1), date(2027, 12, 31))
dimensions = st.sets(st.sampled_from(Dimension), max_size=2)


def covered(part: Part) -> list[date]:
    """The days of a part; of months, to the end of the last."""
    if part.period == "month":
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
    tables = {part.table for part in parts(min(one, other), max(one, other), by=by)}

    if Dimension.HOUR in by:
        assert tables == {"costs_hourrollup"}
    elif Dimension.DAY in by:
        assert tables == {"costs_dayrollup"}
    else:
        assert "costs_hourrollup" not in tables


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
    assert [part.period for part in parts(since, until, by=[Dimension.MODEL])] == tables
