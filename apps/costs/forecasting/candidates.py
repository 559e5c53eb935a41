"""Ways to continue a daily series, of which a back-test chooses. Importing this imports statsforecast."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from statsforecast.models import AutoETS, DynamicOptimizedTheta

Floats = NDArray[np.float64]
# Given the days up to now, the next ones, of which there are to be so many.
Continue = Callable[[Floats, int], Floats]

WEEK = 7
# What a model is fitted to: half a year. An older level or season would only mislead it.
WINDOW = 26 * WEEK
_WEEKS = 4
# In logarithms, zeros count as a tenth of the usual day.
_OFFSET = 0.1


def seasonal_naive(days: Floats, horizon: int) -> Floats:
    """The last week again and again: what every other one has to beat."""
    return _repeated(days[-WEEK:], horizon)


def weekday_means(days: Floats, horizon: int) -> Floats:
    """Each weekday's mean over the last four weeks, or as many as there are: the run-rate, by weekday."""
    weeks = min(_WEEKS, len(days) // WEEK)
    return _repeated(days[-weeks * WEEK :].reshape(weeks, WEEK).mean(axis=0), horizon)


def run_rate(days: Floats, horizon: int) -> Floats:
    """The mean of all days."""
    return np.full(horizon, days.mean())


def ets(days: Floats, horizon: int) -> Floats:
    """Exponential smoothing with an additive weekly season and no trend (statsforecast's AutoETS)."""
    window = days[-WINDOW:]
    if np.ptp(window) == 0:
        return seasonal_naive(window, horizon)  # a constant has no likelihood
    model = AutoETS(season_length=WEEK, model="ANA")
    return np.asarray(np.maximum(model.forecast(y=window, h=horizon)["mean"], 0))


def log_theta(days: Floats, horizon: int) -> Floats:
    """The dynamic optimised theta method (statsforecast's) in logarithms, where weekly seasons multiply."""
    window = days[-WINDOW:]
    if np.ptp(window) == 0:
        return seasonal_naive(window, horizon)
    offset = _OFFSET * window.mean()
    model = DynamicOptimizedTheta(season_length=WEEK, decomposition_type="additive")
    logarithms = model.forecast(y=np.log(window + offset), h=horizon)["mean"]
    # A trend in logarithms may run away; nothing within weeks becomes ten times the highest day.
    return np.asarray(np.clip(np.exp(np.minimum(logarithms, 50.0)) - offset, 0, 10 * window.max()))


def continuations(days: Floats, horizon: int) -> Mapping[str, Floats]:
    """What each candidate says. The mean of the three is one of them: it is often nearer than any."""
    found = {
        "weekday_means": weekday_means(days, horizon),
        "ets": ets(days, horizon),
        "log_theta": log_theta(days, horizon),
    }
    return {**found, "combination": np.mean(list(found.values()), axis=0)}


def _repeated(week: Floats, horizon: int) -> Floats:
    return np.tile(week, -(-horizon // WEEK))[:horizon]
