"""What a series of daily spend will come to: the method, the days and the running totals, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isinf

import numpy as np

from apps.costs.forecasting import backtest, candidates, intervals
from apps.costs.forecasting.backtest import Backtest, Errors
from apps.costs.forecasting.bands import PLACES, Band
from apps.costs.forecasting.candidates import WEEK, Floats
from apps.costs.forecasting.methods import Method

# With fewer days nothing is said; from two weeks on there is a season, from eight on a model to be tested.
FEWEST_DAYS = 5
SEASON_DAYS = 2 * WEEK
MODEL_DAYS = 8 * WEEK

_SHORT = (
    "With {number} whole days since the first spend, the forecast is their mean; from "
    f"{SEASON_DAYS} on, it tells weekdays apart."
)
_MIDDLING = (
    "With {number} whole days since the first spend, the forecast is the mean of each weekday; from "
    f"{MODEL_DAYS} on, models are tried on them, too."
)
_UNTRIED = "The forecast is the mean of each weekday: only the largest budgets have models of their own."
_IN_WORDS: dict[str, str] = {
    Method.WEEKDAY_MEANS: "the mean of each weekday",
    Method.ETS: "exponential smoothing",
    Method.LOG_THETA: "the theta method",
    Method.COMBINATION: "the mean of three models",
}


@dataclass(frozen=True, slots=True)
class Outlook:
    """The days from today on, and what has come together from today to each one's end."""

    method: Method
    reason: str
    observed_days: int
    days: list[Band]
    totals: list[Band]
    backtest: Backtest | None = None


def look_ahead(spent: Sequence[Decimal], *, today: Decimal, horizon: int, may_test: bool = True) -> Outlook:
    """Forecast `horizon` days, today included, from the spend of the whole days before, oldest first.

    Days before the first spend don't count as observed. What today has cost so far is the least that it will
    cost; what of it is above the forecast is added to the totals. `may_test` false does without the models
    and their back-test, which take a second or two.
    """
    found = np.array([max(float(each), 0.0) for each in spent])
    found = found[np.argmax(found > 0) :] if (found > 0).any() else found[:0]
    number = len(found)
    if number < FEWEST_DAYS:
        return Outlook(Method.NONE, _too_few(number), number, [], [])
    if number < SEASON_DAYS:
        of_days, of_totals = intervals.of_run_rate(found, horizon)
        path, tested = candidates.run_rate(found, horizon), None
        method, reason = Method.RUN_RATE, _SHORT.format(number=number)
    else:
        tested = backtest.run(found, horizon=horizon) if may_test and number >= MODEL_DAYS else None
        method, reason, errors = _chosen(tested) if tested else _simple(found, horizon, may_test=may_test)
        path, level = _path(method, found, horizon), backtest.level(found)
        of_days = intervals.of_days(path, errors, level=level)
        of_totals = intervals.of_totals(path, errors, level=level)
    days, totals = _bands(path, of_days), _bands(np.cumsum(path), of_totals)
    above = max(Decimal(0), today - days[0].point)
    return Outlook(
        method,
        reason,
        number,
        [days[0].at_least(today), *days[1:]],
        [each.plus(above).at_least(today) for each in totals],
        tested,
    )


def _chosen(tested: Backtest) -> tuple[Method, str, Errors]:
    if isinf(tested.naive_error):
        reason = "Nothing was spent in the days on which the models would be tried, so none could be."
        return Method(tested.served), reason, tested.errors[tested.served]
    off, naive = f"{100 * tested.model_error:.1f} %", f"{100 * tested.naive_error:.1f} %"
    tried, model = f"Tried at {tested.origins} past days", _IN_WORDS[tested.model]
    if tested.served == tested.model:
        reason = (
            f"{tried}, {model} came closest: the totals were off by {off}, those of repeating the last week"
            f" by {naive}."
        )
    else:
        reason = (
            f"{tried}, nothing came closer than repeating the last week: the totals were off by {naive},"
            f" those of {model} by {off}."
        )
    return Method(tested.served), reason, tested.errors[tested.served]


def _simple(days: Floats, horizon: int, *, may_test: bool) -> tuple[Method, str, Errors]:
    """Weekday means, with what they missed at every day from the first whole week on."""
    origins = backtest.origins_of(len(days), first=WEEK)
    rows = np.full((len(origins), horizon), np.nan)
    for row, origin in zip(rows, origins, strict=True):
        actual = days[origin : origin + horizon]
        said = candidates.weekday_means(days[:origin], len(actual))
        row[: len(actual)] = (actual - said) / backtest.level_at(origin, days)
    reason = _MIDDLING.format(number=len(days)) if may_test else _UNTRIED
    return Method.WEEKDAY_MEANS, reason, Errors(rows, len(days) - WEEK)


def _too_few(number: int) -> str:
    so_far = "there is none" if not number else "there is 1" if number == 1 else f"there are {number}"
    return f"A forecast takes {FEWEST_DAYS} whole days since the first spend; so far {so_far}."


def _path(method: Method, days: Floats, horizon: int) -> Floats:
    if method is Method.SEASONAL_NAIVE:
        return candidates.seasonal_naive(days, horizon)
    if method is Method.WEEKDAY_MEANS:
        return candidates.weekday_means(days, horizon)
    return candidates.continuations(days, horizon)[method]


def _bands(points: Floats, ends: intervals.Ends) -> list[Band]:
    columns = [points, *ends[0.80], *ends[0.95]]
    # The wider interval holds the narrower one, however their ends were found.
    columns[3], columns[4] = np.minimum(columns[3], columns[1]), np.maximum(columns[4], columns[2])
    return [Band(*map(_decimal, row)) for row in np.array(columns).T]


def _decimal(number: float) -> Decimal:
    return Decimal(repr(float(number))).quantize(PLACES)
