"""Forecasts made in the past of series, compared with what came: errors and how much intervals covered."""

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from multiprocessing import get_context

import numpy as np

from apps.costs.forecasting import candidates
from apps.costs.forecasting.bands import Band
from apps.costs.forecasting.outlook import look_ahead
from tests.performance.forecast_series import KINDS, Floats, made

# Days to a month's end, taken in turn.
HORIZONS = (28, 21, 14, 7)
# As much as the service reads.
HISTORY = 730
_YEAR_AND_HALF = 550
SHORT = (20, 34, 48)


@dataclass(frozen=True)
class Trial:
    """One forecast: what of it came true. Shares of days, and 0 or 1 for the total."""

    series: str
    method: str
    error: float
    naive_error: float
    total: float
    days_80: float
    days_95: float
    total_80: float
    total_95: float
    seconds: float


@dataclass(frozen=True)
class Task:
    series: str
    known: Floats
    actual: Floats


def synthetic(*, forecasts: int) -> Iterator[Task]:
    """For each kind, so many forecasts at different days of different series."""
    for kind in KINDS:
        for number in range(forecasts):
            series = made(kind, seed=number // 4, days=_YEAR_AND_HALF)
            horizon = HORIZONS[number % 4]
            origin = 330 + 45 * (number % 4) + number % 7
            yield Task(kind, series[:origin], series[origin : origin + horizon])


def short(*, forecasts: int) -> Iterator[Task]:
    """The same where history is too short for a model."""
    for number in range(forecasts):
        known, horizon = SHORT[number % len(SHORT)], HORIZONS[number % 4]
        series = made(KINDS[number % len(KINDS)], seed=1000 + number, days=known + horizon)
        yield Task("short history", series[:known], series[known:])


def of_public(name: str, series: Floats, *, forecasts: int) -> Iterator[Task]:
    """So many forecasts, spread over all of it."""
    last = len(series) - max(HORIZONS)
    for number, origin in enumerate(np.linspace(400, last, forecasts).astype(int)):
        yield Task(
            name,
            series[max(0, origin - HISTORY) : origin],
            series[origin : origin + HORIZONS[number % 4]],
        )


def run(tasks: Iterable[Task]) -> list[Trial]:
    """All of them, on every core."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(attempt, tasks, chunksize=4))


def attempt(task: Task) -> Trial:
    began = time.perf_counter()
    found = look_ahead(
        [Decimal(repr(float(each))) for each in task.known], today=Decimal(0), horizon=len(task.actual)
    )
    seconds = time.perf_counter() - began
    total = float(task.actual.sum())
    naive = candidates.seasonal_naive(task.known, len(task.actual)).sum()
    of_days = list(zip(found.days, task.actual, strict=True))
    return Trial(
        series=task.series,
        method=found.method,
        error=abs(float(found.totals[-1].point) - total),
        naive_error=abs(float(naive) - total),
        total=total,
        days_80=float(np.mean([_within(band, actual, 80) for band, actual in of_days])),
        days_95=float(np.mean([_within(band, actual, 95) for band, actual in of_days])),
        total_80=_within(found.totals[-1], total, 80),
        total_95=_within(found.totals[-1], total, 95),
        seconds=seconds,
    )


def _within(band: Band, actual: float, coverage: int) -> float:
    low, high = getattr(band, f"low_{coverage}"), getattr(band, f"high_{coverage}")
    # Bands are rounded to four places.
    return float(float(low) - 1e-4 <= actual <= float(high) + 1e-4)
