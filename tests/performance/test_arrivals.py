from pathlib import Path

import pytest

from tests.performance.arrivals import (
    RECORD,
    SECOND,
    Arrival,
    Arrivals,
    by_account,
    fullest_window,
    percentile,
    utilisation,
)


def test_a_round_reads_its_own_arrivals_and_leaves_out_a_half_written_one(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path / "arrivals")
    assert arrivals.count() == 0
    records = [RECORD.pack(SECOND * number, 7, number) for number in range(4)]
    arrivals.path.write_bytes(b"".join(records)[:-1])
    assert arrivals.count() == 3
    assert arrivals.since(1) == [Arrival(SECOND, 7, 1), Arrival(2 * SECOND, 7, 2)]


def test_an_account_that_sends_again_as_soon_as_it_may_uses_all_of_its_limit() -> None:
    punctual = {1: [0, 1, 10, 11, 20, 21]}
    late = {1: [0, 1, 12, 13, 24, 25]}
    assert utilisation(punctual, count=2, window=10) == 1
    assert utilisation(late, count=2, window=10) == pytest.approx(10 / 12)


def test_a_window_is_open_at_its_beginning() -> None:
    assert fullest_window([0, 10, 20], window=10) == 1
    assert fullest_window([0, 10, 19, 20, 28], window=10) == 3


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([3], 0.5) == 3
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_times_are_sorted_by_account() -> None:
    assert by_account([Arrival(3, 1, 0), Arrival(1, 1, 0), Arrival(2, 2, 0)]) == {1: [1, 3], 2: [2]}
