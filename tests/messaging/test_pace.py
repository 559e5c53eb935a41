"""When each message of a queue goes, against a simulation that sends them one by one."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.instants import LAST
from apps.messaging.limiter.rules import Limit
from apps.messaging.pace import Lane, Pace, lane_ends
from apps.messaging.quiet import quiet_until, when_awake

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BOXES = [uuid4() for _ in range(4)]


def lane(number: int, priority: int = 1, *, minutes: float = 0, box: UUID = BOXES[0]) -> Lane:
    first = NOW + timedelta(minutes=minutes)
    return Lane(box, priority, number, first, first)


def one_by_one(lanes: list[Lane], pace: Pace) -> dict[Lane, datetime]:
    """The simulation: at each slot the first message in turn goes."""
    left = {each: each.queued for each in lanes}
    ends = {}
    begin, sent = NOW, 0
    while left:
        at = pace.at(begin, sent)
        due = [each for each in left if each.first <= at]
        if not due:
            begin, sent = min(each.first for each in left), 0
            continue
        first = min(due, key=lambda each: each.rank(at))
        sent += 1
        left[first] -= 1
        if not left[first]:
            del left[first]
            ends[first] = max(at, first.last)
    return ends


@given(
    lanes=st.lists(
        st.builds(
            lane,
            st.integers(1, 80),
            st.integers(0, 2),
            minutes=st.integers(-30, 40),
        ),
        min_size=1,
        max_size=4,
    ),
    count=st.integers(1, 20),
    seconds=st.integers(1, 120),
    gap=st.sampled_from([0, 100, 9000]),
)
@settings(max_examples=200)
def test_the_ends_are_those_of_sending_one_by_one(
    lanes: list[Lane], count: int, seconds: int, gap: int
) -> None:
    lanes = [replace(each, outbox_id=box) for each, box in zip(lanes, BOXES, strict=False)]
    pace = Pace(Limit(count, seconds, gap))
    assert {each: end.at for each, end in lane_ends(lanes, pace=pace, begin=NOW).items()} == one_by_one(
        lanes, pace
    )


def test_a_limit_is_used_up_at_once_then_again_after_each_window() -> None:
    pace = Pace(Limit(10, 60))
    assert [pace.at(NOW, number) - NOW for number in (0, 9, 10, 25)] == [
        timedelta(),
        timedelta(),
        timedelta(seconds=60.25),
        timedelta(seconds=120.5),
    ]


def test_a_gap_stands_between_any_two() -> None:
    assert Pace(Limit(10, 60, 9000)).at(NOW, 20) == NOW + timedelta(seconds=9.09 * 20)


def test_who_ages_overtakes_what_came_later() -> None:
    early = lane(2000, 2, minutes=-5)
    late = lane(2000, 0, box=BOXES[1])
    ends = lane_ends([early, late], pace=Pace(Limit(10, 60)), begin=NOW)
    # The late one is ahead until the early one has risen by two levels.
    assert timedelta(hours=3) < ends[early].at - NOW < timedelta(hours=3, minutes=40)
    assert ends[late].ahead == 3999


def test_nights_are_passed_over() -> None:
    pace = Pace(Limit(10, 60), time(22), time(8), "UTC")
    # 600 an hour until 22, and from 8: 6,000 in the ten hours of today.
    assert pace.at(NOW, 5900) < NOW.replace(hour=22)
    assert pace.at(NOW, 6100) > (NOW + timedelta(days=1)).replace(hour=8)


def test_where_each_fan_sleeps_for_himself_only_the_last_ones_wait() -> None:
    pace = Pace(Limit(10, 60), time(22), time(8), "UTC", fans_sleep=True)
    assert pace.at(NOW, 6100) == (NOW + timedelta(days=1)).replace(hour=8)
    assert pace.at(NOW, 12_500) < (NOW + timedelta(days=1)).replace(hour=9, minute=0)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/New_York", "Pacific/Chatham"])
@given(
    hours_on=st.integers(0, 24 * 330),
    hours=st.floats(0, 400),
    start=st.times(),
    end=st.times(),
)
@settings(max_examples=50)
def test_waking_time_is_what_lies_outside_quiet_hours(
    zone: str, hours_on: int, hours: float, start: time, end: time
) -> None:
    begin, span = NOW + timedelta(hours=hours_on), timedelta(hours=hours)
    found = when_awake(begin, span, start=start, end=end, zone=zone)
    if start == end:
        assert found == LAST
        return
    assert quiet_until(found, start=start, end=end, zone=zone) is None
    awake, at = timedelta(), begin
    step = timedelta(minutes=7)
    while at < found and found < LAST and found - begin < timedelta(days=60):
        until = quiet_until(at, start=start, end=end, zone=zone)
        awake += timedelta() if until else min(step, found - at)
        at = max(at + step, until or at)
    if found - begin < timedelta(days=60):
        nights = (found - begin) // timedelta(days=1) + 2
        assert abs(awake - span) <= nights * step + timedelta(hours=1)


@pytest.mark.parametrize("fans_sleep", [False, True])
def test_no_pace_reaches_beyond_all_calendars(fans_sleep: bool) -> None:
    pace = Pace(Limit(1, 31 * 86_400), time(22), time(8), "Pacific/Kiritimati", fans_sleep)
    assert pace.at(NOW, 10**12) == LAST
    assert pace.at(datetime(9999, 12, 31, 23, tzinfo=UTC), 5) == LAST
