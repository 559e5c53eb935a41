"""The day on which a limit is reached, from the running totals of a period."""

from datetime import date, timedelta
from decimal import Decimal

from apps.costs.forecasting.bands import Band, DayBand
from apps.costs.forecasting.dates import Reached, reached

FIRST = date(2026, 2, 26)


def sums(*totals: tuple[int, int, int, int, int]) -> list[DayBand]:
    """Of low 95, low 80, point, high 80 and high 95."""
    return [
        DayBand(
            FIRST + timedelta(days=number),
            Band(*(Decimal(each) for each in (point, low_80, high_80, low_95, high_95))),
        )
        for number, (low_95, low_80, point, high_80, high_95) in enumerate(totals)
    ]


def test_a_limit_is_reached_earliest_by_the_highest_sums() -> None:
    found = reached(
        Decimal(10), sums((1, 2, 3, 4, 10), (2, 4, 6, 10, 20), (5, 7, 10, 14, 30), (8, 10, 13, 18, 40))
    )

    assert found == Reached(
        point=date(2026, 2, 28),
        earliest_95=date(2026, 2, 26),
        earliest_80=date(2026, 2, 27),
        latest_80=date(2026, 3, 1),
        latest_95=None,
    )


def test_what_stays_below_is_not_reached_in_this_period() -> None:
    assert reached(Decimal(99), sums((1, 2, 3, 4, 10))) == Reached(None, None, None, None, None)


def test_a_limit_of_nothing_is_reached_by_the_first_cent() -> None:
    found = reached(Decimal(0), sums((0, 0, 0, 0, 1), (0, 0, 1, 1, 1)))
    assert (found.point, found.earliest_95, found.latest_95) == (FIRST + timedelta(days=1), FIRST, None)


def test_without_days_nothing_is_known() -> None:
    assert reached(Decimal(1), []).point is None
