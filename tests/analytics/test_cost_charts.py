"""What Chart.js is given: stacked bars, and a fan that opens from what is known."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from apps.analytics.cost_charts import Chart, bars, fan
from apps.analytics.cost_ranges import spend_of
from apps.costs.forecasting.bands import Band, DayBand

TODAY = date(2026, 5, 3)
SO_FAR = [(date(2026, 5, 1), Decimal(10)), (date(2026, 5, 2), Decimal(20)), (TODAY, Decimal(24))]


def ahead(*points: int) -> list[DayBand]:
    return [
        DayBand(TODAY + timedelta(days=number), Band(*(Decimal(point + off) for off in (0, -2, 2, -4, 4))))
        for number, point in enumerate(points)
    ]


def lines(chart: Chart) -> dict[str, Any]:
    return {each["label"]: each["data"] for each in chart.data["datasets"]}


def test_each_provider_has_its_part_of_each_bar() -> None:
    spent = {(TODAY, "openai"): Decimal("1.5"), (TODAY, "azure"): Decimal(2)}
    chart = bars(spend_of(spent, days=7, today=TODAY))
    assert lines(chart) == {"azure": [0.0] * 6 + [2.0], "openai": [0.0] * 6 + [1.5]}
    assert chart.data["labels"][-1] == "May 3"
    assert chart.options["scales"]["y"]["stacked"] is True
    assert chart.options["scales"]["y"]["title"]["text"] == "USD"
    assert [name for name, _ in chart.legend] == ["azure", "openai"]


def test_more_providers_than_colours_are_together_as_others() -> None:
    spent = {(TODAY, f"provider-{number}"): Decimal(1) for number in range(9)}
    chart = bars(spend_of(spent, days=7, today=TODAY))
    assert len(chart.data["datasets"]) == 6
    assert lines(chart)["others"][-1] == 4.0
    assert sum(data[-1] for data in lines(chart).values()) == 9


def test_small_amounts_have_places_enough_to_be_told_apart() -> None:
    chart = bars(spend_of({(TODAY, "openai"): Decimal("0.0000123")}, days=7, today=TODAY))
    assert chart.options["scales"]["y"]["ticks"]["format"]["maximumFractionDigits"] >= 6


def test_the_fan_opens_where_yesterday_ended() -> None:
    chart = fan(SO_FAR, ahead(30, 40), limit=None)
    found = lines(chart)
    assert chart.data["labels"] == ["May 1", "May 2", "May 3", "May 4"]
    assert found["spent"] == [10.0, 20.0, 24.0, None]
    assert found["forecast"] == [None, 20.0, 30.0, 40.0]
    assert found["95 % from"] == [None, 20.0, 26.0, 36.0]
    assert found["80 % to"] == [None, 20.0, 32.0, 42.0]


def test_the_bands_are_filled_to_their_lower_ends() -> None:
    labels = [each["label"] for each in fan(SO_FAR, ahead(30), limit=None).data["datasets"]]
    filled = [each["label"] for each in fan(SO_FAR, ahead(30), limit=None).data["datasets"] if each["fill"]]
    assert filled == ["95 % to", "80 % to"]
    assert [labels[labels.index(name) - 1] for name in filled] == ["95 % from", "80 % from"]


def test_on_a_months_first_day_there_is_no_yesterday() -> None:
    chart = fan([(TODAY, Decimal(4))], ahead(5, 10), limit=None)
    assert lines(chart)["forecast"] == [5.0, 10.0]
    (spent,) = [each for each in chart.data["datasets"] if each["label"] == "spent"]
    assert spent["pointRadius"] > 0  # a line of one point would be invisible


def test_without_a_forecast_there_is_the_month_so_far() -> None:
    assert list(lines(fan(SO_FAR, [], limit=None))) == ["spent"]


def test_a_limit_is_drawn_unless_it_would_press_the_rest_flat() -> None:
    assert lines(fan(SO_FAR, ahead(30), limit=Decimal(50)))["limit"] == [50.0] * 3
    assert "limit" not in lines(fan(SO_FAR, ahead(30), limit=Decimal(5000)))
