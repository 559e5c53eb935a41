"""What the scores of a sample say of all questions of its kind. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, stdev

# Fewer answers say nothing of the others.
LEAST = 5

# Student's t for a two-sided interval of 95 %, by degrees of freedom; beyond the table the last is safe.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
_T_BEYOND = 2.042
_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The mean of the scores, and the interval that holds the mean of all questions with 95 %."""

    mean: Decimal
    lower: Decimal
    upper: Decimal
    number: int

    def reaches(self, threshold: Decimal) -> bool:
        """Whether even the lower bound does."""
        return self.lower >= threshold


def verdict(scores: Sequence[Decimal]) -> Verdict | None:
    """None for fewer than `LEAST` scores. Scores lie between 0 and 1, and so does the interval."""
    if len(scores) < LEAST:
        return None
    values = [float(each) for each in scores]
    mean = fmean(values)
    freedom = len(values) - 1
    t = _T[freedom - 1] if freedom <= len(_T) else _T_BEYOND
    half = t * stdev(values) / len(values) ** 0.5
    return Verdict(_share(mean), _share(mean - half), _share(mean + half), len(values))


def _share(value: float) -> Decimal:
    return Decimal(min(max(value, 0.0), 1.0)).quantize(_PLACES)
