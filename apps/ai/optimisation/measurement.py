"""What a change has saved since it was applied, against what was predicted. Pure.

Both are for the calls that were really made: a month with half the calls saves half, which is nobody's merit.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from apps.ai.optimisation.facts import MONTH

# With fewer calls on either side a few long ones decide.
LEAST_CALLS = 20
_PLACES = Decimal(1).scaleb(-10)


@dataclass(frozen=True, slots=True)
class Calls:
    """The questions of some time, answered from wherever, and what they have cost together."""

    number: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Saved:
    """`measured`: what as many calls would have cost before, less what they have; may be negative."""

    measured: Decimal
    predicted: Decimal


def saved(*, before: Calls, span: timedelta, since: Calls, monthly_saving: Decimal) -> Saved | None:
    """None for too few calls on either side. `before` are those of `span`, the time before it was applied."""
    if min(before.number, since.number) < LEAST_CALLS:
        return None
    share = Decimal(since.number) / before.number
    of_span = monthly_saving * Decimal(int(span.total_seconds())) / Decimal(int(MONTH.total_seconds()))
    return Saved(
        measured=(before.cost * share - since.cost).quantize(_PLACES),
        predicted=(of_span * share).quantize(_PLACES),
    )
