"""The arithmetic of forecasts: which method when, and that its intervals are what they claim."""

import re
import subprocess
import sys
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.costs.forecasting import backtest, candidates
from apps.costs.forecasting.bands import Band
from apps.costs.forecasting.methods import Method
from apps.costs.forecasting.outlook import FEWEST_DAYS, MODEL_DAYS, SEASON_DAYS, Outlook, look_ahead
from tests.performance import forecast_trial
from tests.performance.forecast_series import made
from tests.services import ROOT

KINDS_WITHOUT_TREND = ("season", "shocks", "zeros")
WEEK = [50, 60, 55, 52, 70, 10, 5]


def ahead(days: Iterable[float], *, horizon: int = 10, today: str = "0") -> Outlook:
    amounts = [Decimal(repr(float(each))) for each in days]
    return look_ahead(amounts, today=Decimal(today), horizon=horizon)


def is_in_order(band: Band) -> bool:
    ends = [Decimal(0), band.low_95, band.low_80, band.point, band.high_80, band.high_95]
    return all(one <= other for one, other in pairwise(ends))


@pytest.mark.parametrize(
    ("days", "methods"),
    [
        (0, {Method.NONE}),
        (FEWEST_DAYS - 1, {Method.NONE}),
        (FEWEST_DAYS, {Method.RUN_RATE}),
        (SEASON_DAYS - 1, {Method.RUN_RATE}),
        (SEASON_DAYS, {Method.WEEKDAY_MEANS}),
        (MODEL_DAYS - 1, {Method.WEEKDAY_MEANS}),
        (MODEL_DAYS, set(Method) - {Method.NONE, Method.RUN_RATE}),
    ],
)
def test_the_method_is_one_that_the_history_allows(days: int, methods: set[Method]) -> None:
    found = ahead(made("season", seed=1, days=days))

    assert found.method in methods
    assert found.observed_days == days
    assert (found.backtest is not None) == (days >= MODEL_DAYS)
    assert len(found.days) == len(found.totals) == (0 if found.method is Method.NONE else 10)


@pytest.mark.parametrize(
    ("days", "so_far"), [([], "there is none"), ([1], "there is 1"), ([1, 2], "there are 2")]
)
def test_too_little_says_how_much_it_takes(days: list[int], so_far: str) -> None:
    found = ahead(days).reason
    assert found == f"A forecast takes 5 whole days since the first spend; so far {so_far}."


def test_days_before_the_first_spend_are_no_history() -> None:
    found = ahead([0] * 300 + [7, 0, 7, 7])
    assert (found.method, found.observed_days) == (Method.NONE, 4)


def test_a_past_without_spend_to_test_on_is_no_number_in_words() -> None:
    found = ahead([5, *[0] * MODEL_DAYS])
    assert found.method is Method.SEASONAL_NAIVE
    assert "inf" not in found.reason
    assert "Nothing was spent" in found.reason


def test_an_exact_week_is_repeated_exactly() -> None:
    found = ahead([*WEEK * 20], horizon=14)
    assert [float(each.point) for each in found.days] == pytest.approx(WEEK * 2, abs=0.5)
    assert float(found.totals[-1].point) == pytest.approx(2 * sum(WEEK), rel=0.01)


def test_the_naive_forecast_is_served_where_no_model_is_better() -> None:
    """Each week is as the one before was: nothing is nearer than that."""
    found = ahead([*WEEK * 20])

    assert found.backtest is not None
    assert found.backtest.naive_error == 0 <= found.backtest.model_error
    assert found.method is Method.SEASONAL_NAIVE
    assert found.reason.startswith(
        "Tried at 56 past days, nothing came closer than repeating the last week: the totals were off by 0.0"
    )


def test_a_model_is_served_where_it_is_better() -> None:
    found = ahead(made("season", seed=3, days=300), horizon=28)
    assert found.backtest is not None
    assert found.backtest.model_error < found.backtest.naive_error
    assert found.method.value == found.backtest.model
    assert re.fullmatch(
        r"Tried at \d+ past days, [a-z ]+ came closest: the totals were off by [\d.]+ %, those of repeating"
        r" the last week by [\d.]+ %\.",
        found.reason,
    )


def test_the_back_test_knows_nothing_of_what_came_after() -> None:
    """What comes later changes nothing of what was said before it."""
    days = made("drift", seed=5, days=200)
    origins = backtest.origins_of(len(days), first=backtest.FIRST_ORIGIN)
    assert max(origins) < len(days)
    changed = days.copy()
    changed[150:] *= 3
    before, after = (
        backtest.run(each, horizon=5).errors[backtest.NAIVE].relative for each in (days, changed)
    )
    old = [row for row, origin in enumerate(origins) if origin + 5 <= 150]
    assert old
    assert np.array_equal(before[old], after[old])


def test_what_today_has_cost_is_the_least_that_it_will() -> None:
    quiet, dear = (ahead([*WEEK * 12], today=today) for today in ("0", "1000"))

    assert all(amount >= 1000 for amount in (dear.days[0].point, dear.days[0].low_95, dear.totals[0].low_95))
    above = 1000 - quiet.days[0].point
    assert dear.totals[-1].point == quiet.totals[-1].point + above
    assert dear.days[1:] == quiet.days[1:]


@pytest.mark.parametrize(
    "days",
    [
        [0.0] * 99 + [1],
        [5.0] * 200,
        [0.0, 0, 0, 0, 0, 0, 3] * 30,
        [1e-10] * 100,
        [9e8, 1e-9] * 100,
        [3.0] * 60 + [0.0] * 140,
        [1.0] * 199 + [1e7],
    ],
    ids=["began yesterday", "constant", "sundays", "tiny", "wild", "stopped", "one shock"],
)
def test_odd_histories_have_sane_forecasts(days: list[float]) -> None:
    found = ahead([1.0, *days], horizon=37)
    assert all(map(is_in_order, [*found.days, *found.totals]))
    assert all(one.point <= other.point for one, other in pairwise(found.totals))
    assert all(one.low_95 <= other.low_95 for one, other in pairwise(found.totals))


@settings(max_examples=25)
@given(
    days=st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=5, max_size=70),
    today=st.decimals(0, 10**6, places=4),
    horizon=st.integers(1, 37),
)
def test_any_history_has_a_sane_forecast(days: list[float], today: Decimal, horizon: int) -> None:
    found = ahead(days, horizon=horizon, today=str(today))
    assert all(map(is_in_order, [*found.days, *found.totals]))
    assert all(each.low_95 >= today for each in found.totals)


@pytest.mark.parametrize("days", [20, 100])
def test_a_time_of_trying_things_makes_no_millions_of_dollars(days: int) -> None:
    found = ahead([1e-7] * (days // 2) + [50.0] * days, horizon=31)
    assert all(each.high_95 <= 500 for each in found.days)


def test_a_totals_interval_is_wider_than_that_of_independent_days_where_errors_last() -> None:
    found = ahead(made("drift", seed=2, days=400), horizon=28)
    of_days = sum(float(each.high_80 - each.low_80) ** 2 for each in found.days) ** 0.5
    assert float(found.totals[-1].high_80 - found.totals[-1].low_80) > 1.3 * of_days


@pytest.mark.long
def test_intervals_cover_about_what_they_claim_and_totals_beat_the_naive_ones() -> None:
    """A small part of `make bench ONLY=costs.forecast`, which measures it closely."""
    tasks = [each for each in forecast_trial.synthetic(forecasts=4) if each.series in KINDS_WITHOUT_TREND]
    trials = [forecast_trial.attempt(each) for each in tasks]

    assert sum(each.error for each in trials) < sum(each.naive_error for each in trials)
    assert 0.72 < np.mean([each.days_80 for each in trials]) < 0.88
    assert 0.90 < np.mean([each.days_95 for each in trials]) < 0.99
    assert 0.60 < np.mean([each.total_80 for each in trials]) < 1
    assert np.mean([each.total_95 for each in trials]) > 0.85


def test_candidates_continue_the_week_at_the_right_day() -> None:
    days = np.array(WEEK * 10 + WEEK[:3], dtype=float)
    for name, path in candidates.continuations(days, 4).items():
        assert path == pytest.approx(WEEK[3:], rel=0.1, abs=3), name


def test_neither_the_web_nor_any_worker_loads_pandas_before_a_forecast_is_made() -> None:
    program = """
import sys, django
django.setup()
import huntaze.urls, huntaze.celery
from django.contrib import admin
admin.autodiscover()
huntaze.celery.app.loader.import_default_modules()
heavy = {"pandas", "numpy", "scipy", "statsforecast", "statsmodels", "numba"} & set(sys.modules)
assert "apps.costs.services.forecasts" in sys.modules
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_the_models_need_no_compiler_at_run_time() -> None:
    program = """
import sys, warnings
warnings.simplefilter("error")
import socket
socket.socket.connect = None
from collections.abc import Iterable
from decimal import Decimal
from apps.costs.forecasting.outlook import look_ahead
look_ahead([Decimal(day % 7) for day in range(100)], today=Decimal(0), horizon=31)
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
