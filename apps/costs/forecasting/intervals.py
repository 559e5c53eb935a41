"""Intervals of days and of running totals, from what was missed in the past.

A total's interval is no sum of days' intervals: its errors are the totals of past errors, whatever ties one
day to the next. Origins of the past overlap, so a long total has only a few that are independent, and the
ends of its interval are taken further out, by Student's t with so many degrees of freedom.
"""

import numpy as np
from scipy.stats import norm, t

from apps.costs.forecasting.backtest import Errors
from apps.costs.forecasting.candidates import Floats

COVERAGES = (0.80, 0.95)
# With fewer origins that reach so far, a total's spread is carried on from the last day that has as many.
ENOUGH = 12
# Fewer independent totals show no bias and no quantiles, only how far off they are.
FEW = 6
# With fewer days than so many to be expected beyond an end, the worst of them are no measure of it.
BEYOND = 1.5

# For each coverage, the lower and upper ends by day.
Ends = dict[float, tuple[Floats, Floats]]


def of_days(path: Floats, errors: Errors, *, level: float) -> Ends:
    """Quantiles of what was missed so many days ahead, with the correction for a finite number of errors."""
    reach = _reach(errors.relative)
    found: Ends = {}
    for coverage in COVERAGES:
        ends = np.zeros((2, len(path)))
        for day in range(len(path)):
            missed = _known(errors.relative[:, min(day, reach)])
            tail = min(1.0, (1 + coverage) / 2 * (len(missed) + 1) / len(missed))
            low, high = np.quantile(missed, [1 - tail, tail])
            if errors.span * (1 - coverage) / 2 < BEYOND:
                freedom = max(3.0, errors.span / 4)
                half = t.ppf((1 + coverage) / 2, freedom) * np.sqrt((missed**2).mean())
                low, high = min(low, -half), max(high, half)
            ends[:, day] = path[day] + level * np.array([low, high])
        found[coverage] = _sane(ends, path)
    return found


def of_totals(path: Floats, errors: Errors, *, level: float) -> Ends:
    """The wider of Student's interval and the quantiles of past totals, both for how few there are."""
    paths = np.maximum(path + level * errors.relative, 0)
    totals, said = np.cumsum(paths, axis=1), np.cumsum(path)
    reach = _reach(errors.relative)
    found: Ends = {}
    for coverage in COVERAGES:
        ends = np.zeros((2, len(path)))
        for day in range(len(path)):
            until = min(day, reach)
            off = _known(totals[:, until]) - said[until]
            further = (day + 1) / (until + 1)
            ends[:, day] = said[day] + further * _ends(off, coverage, errors.span / (until + 1))
        found[coverage] = _sane(np.maximum.accumulate(ends, axis=1), said)
    return found


def of_run_rate(days: Floats, horizon: int) -> tuple[Ends, Ends]:
    """Where there is no past to test on: days independent of each other, and a mean that isn't known."""
    number, spread = len(days), max(float(days.std(ddof=1)), 0.1 * float(days.mean()))
    path, ahead = np.full(horizon, days.mean()), np.arange(1, horizon + 1)
    of_day: Ends = {}
    of_total: Ends = {}
    for coverage in COVERAGES:
        far = t.ppf((1 + coverage) / 2, number - 1) * spread
        half = np.full(horizon, far * np.sqrt(1 + 1 / number))
        of_day[coverage] = _sane(np.array([path - half, path + half]), path)
        total, half = np.cumsum(path), far * np.sqrt(ahead + ahead**2 / number)
        ends = np.maximum.accumulate(np.array([total - half, total + half]), axis=1)
        of_total[coverage] = _sane(ends, total)
    return of_day, of_total


def _ends(off: Floats, coverage: float, independent: float) -> Floats:
    """Both ends relative to what is forecast, from what totals were off by."""
    place = (1 + coverage) / 2
    independent = max(3.0, min(independent, len(off)))
    far = float(t.ppf(place, max(independent - 1, 2)) * np.sqrt(1 + 1 / independent))
    if independent < FEW:
        half = far * np.sqrt((off**2).mean())
        return np.array([-half, half])
    mean, middle = off.mean(), np.median(off)
    low, high = np.quantile(off, [1 - place, place])
    wider = far / norm.ppf(place)
    return np.array(
        [
            min(mean - far * off.std(), middle + (low - middle) * wider),
            max(mean + far * off.std(), middle + (high - middle) * wider),
        ]
    )


def _reach(relative: Floats) -> int:
    """The last day ahead that enough origins have seen."""
    seen = (~np.isnan(relative)).sum(axis=0)
    return max(0, int((seen >= min(ENOUGH, seen[0])).sum()) - 1)


def _known(column: Floats) -> Floats:
    return column[~np.isnan(column)]


def _sane(ends: Floats, point: Floats) -> tuple[Floats, Floats]:
    """No spend is negative, and the point lies within."""
    return np.clip(ends[0], 0, point), np.maximum(ends[1], point)
