"""The percentages of its limit at which a budget alerts. Pure."""

from collections.abc import Sequence

LOWEST, HIGHEST = 1, 1000
MOST = 20


def threshold_problem(percentages: Sequence[int]) -> str:
    """Why these can't be a budget's thresholds, and what could. Empty if they can; order is no matter."""
    if len(percentages) > MOST:
        return f"At most {MOST} thresholds, not {len(percentages)}."
    for each in percentages:
        if not LOWEST <= each <= HIGHEST:
            return f"Thresholds are whole percentages from {LOWEST} to {HIGHEST}, which {each} isn't."
    if twice := sorted({each for each in percentages if percentages.count(each) > 1}):
        return f"{twice[0]} % is given twice; once is enough."
    return ""
