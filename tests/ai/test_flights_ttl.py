"""For how long answers are kept."""

from datetime import timedelta

import pytest

from apps.ai.flights.ttl import NOT_CACHED, TTLS, Ttl
from apps.ai.models import TaskKind

SECOND = timedelta(seconds=1)


def test_every_kind_of_task_has_its_times() -> None:
    assert set(TTLS) == set(TaskKind.values)


@pytest.mark.parametrize(("fresh", "stale"), [(2 * SECOND, SECOND), (-SECOND, SECOND), (-SECOND, -SECOND)])
def test_times_that_contradict_each_other_are_refused(fresh: timedelta, stale: timedelta) -> None:
    with pytest.raises(ValueError, match="fresh must lie between"):
        Ttl(fresh, stale)


def test_an_answer_may_be_kept_for_no_time_at_all() -> None:
    assert Ttl(timedelta(), timedelta()) == NOT_CACHED
