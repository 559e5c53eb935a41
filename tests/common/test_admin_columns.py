"""Values as the admin's columns word them."""

from datetime import timedelta

import pytest

from apps.common.admin.columns import duration


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.04118, "41 ms"),
        (1, "1 s"),
        (2.5, "2.5 s"),
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3_600, "1 h"),
        (7_500.4, "2 h 5 min"),
        (7 * 86_400, "7 d"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_length_of_time_has_its_units(seconds: float, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said
