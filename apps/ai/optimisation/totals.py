"""What several recommendations come to together, where some of them are about the same money. Pure.

The questions of one kind are paid for once: had from the cache, or asked of a cheaper model, they save what
the better of both saves, and not both. So one recommendation counts of each kind of task, which may be less
than could be had and is never more. Attempts that brought no answer are money of their own, but for what a
question from the cache doesn't try at all.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from apps.ai.optimisation import contexts, dear_models, retries

# Of the tokens of answers alone; what else a kind's questions may save is of all their attempts.
_OF_ANSWERS = frozenset({contexts.KIND, dear_models.KIND})
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Expected:
    """What one recommendation promises for a month."""

    kind: str
    task_kind: str
    monthly: Decimal


@dataclass(frozen=True, slots=True)
class Measured:
    """What one that is applied has saved since, and what was expected of it by then."""

    task_kind: str
    applied_at: datetime
    saved: Decimal
    predicted: Decimal


def expected(each: Iterable[Expected]) -> Decimal:
    """The most of them that can be had in a month, each piece of money counted once."""
    given = list(each)
    of_questions = [one for one in given if one.kind != retries.KIND]
    of_attempts = sum((one.monthly for one in given if one.kind == retries.KIND), _NOTHING)
    of_answers = _best_of_kinds(one for one in of_questions if one.kind in _OF_ANSWERS)
    return max(_best_of_kinds(of_questions), of_answers + of_attempts)


def measured(each: Iterable[Measured]) -> tuple[Decimal, Decimal]:
    """What those that are applied have saved together, and what was expected of them.

    All questions of a kind are measured, whatever changed them. So what was applied first has the others'
    savings in its own, and against a time before any of them.
    """
    by_kind: defaultdict[str, list[Measured]] = defaultdict(list)
    for one in each:
        by_kind[one.task_kind].append(one)
    firsts = [min(ones, key=lambda one: one.applied_at) for ones in by_kind.values()]
    best = [max(one.predicted for one in ones) for ones in by_kind.values()]
    return sum((one.saved for one in firsts), _NOTHING), sum(best, _NOTHING)


def _best_of_kinds(each: Iterable[Expected]) -> Decimal:
    best: dict[str, Decimal] = {}
    for one in each:
        best[one.task_kind] = max(best.get(one.task_kind, _NOTHING), one.monthly)
    return sum(best.values(), _NOTHING)
