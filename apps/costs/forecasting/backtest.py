"""How well the candidates would have done in a series' own past, at origins that roll through it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from apps.costs.forecasting import candidates
from apps.costs.forecasting.candidates import Floats

MEASURE = "wape_of_running_totals"
NAIVE = "seasonal_naive"
# The first origin has so many days before it.
FIRST_ORIGIN = 4 * candidates.WEEK
# Origins further apart for a longer past, so that a tenant takes a second or two.
MOST_ORIGINS = 90
# Days before an origin that say what is usual then; errors are kept relative to it.
_RECENT = 28


@dataclass(frozen=True, slots=True)
class Errors:
    """What a candidate missed: a row for each origin, relative to the level there, NaN for days to come."""

    relative: Floats
    # How many days the origins are spread over; rows of neighbouring ones share most of their days.
    span: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """The best candidate and the naive one; errors are of the running totals, relative to these."""

    model: str
    model_error: float
    naive_error: float
    origins: int
    errors: Mapping[str, Errors]

    @property
    def served(self) -> str:
        """The model only if it was better."""
        return self.model if self.model_error < self.naive_error else NAIVE


def level(days: Floats) -> float:
    """What is usual now; a tenth of what is usual at all keeps it above zero in a pause."""
    return float(days[-_RECENT:].mean() + 0.1 * days[-candidates.WINDOW :].mean())


def level_at(origin: int, days: Floats) -> float:
    """What was usual at an origin, but no less than a fifth of what is now.

    Errors are kept relative to it. What was missed when a tenant had just begun to try things, for a
    thousandth of a cent a day, would otherwise make of today's dollars millions.
    """
    return max(level(days[:origin]), 0.2 * level(days)) or 1.0


def origins_of(number: int, *, first: int) -> range:
    """How many days are known at each origin: some back from now, in equal steps, down to `first`."""
    step = max(1, -(-(number - first) // MOST_ORIGINS))
    return range(number - step, first - 1, -step)


def run(days: Floats, *, horizon: int) -> Backtest:
    """Try every candidate at origins of the past.

    The measure is WAPE of running totals: the sum over origins and days of how far the total from the origin
    to that day was off, divided by the sum of these totals. Month-ends and exhaustion dates depend on just
    these; errors of single days that cancel each other count little, a bias counts in full.
    """
    origins = origins_of(len(days), first=FIRST_ORIGIN)
    missed: dict[str, list[Floats]] = {}
    off: dict[str, float] = {}
    totals = 0.0
    for origin in origins:
        known, actual = days[:origin], days[origin : origin + horizon]
        usual = level_at(origin, days)
        said = {
            NAIVE: candidates.seasonal_naive(known, horizon),
            **candidates.continuations(known, horizon),
        }
        totals += float(np.cumsum(actual).sum())
        for name, path in said.items():
            difference = actual - path[: len(actual)]
            off[name] = off.get(name, 0.0) + float(np.abs(np.cumsum(difference)).sum())
            missed.setdefault(name, []).append(_padded(difference / usual, horizon))
    scores = {name: each / totals if totals > 0 else float("inf") for name, each in off.items()}
    naive_error = scores.pop(NAIVE)
    best = min(scores, key=lambda name: scores[name])
    span = len(days) - origins[-1]
    errors = {name: Errors(np.array(rows), span) for name, rows in missed.items()}
    return Backtest(best, scores[best], naive_error, len(origins), errors)


def _padded(row: Floats, horizon: int) -> Floats:
    return np.concatenate([row, np.full(horizon - len(row), np.nan)])
