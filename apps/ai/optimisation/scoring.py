"""How well one answer could take the place of another. Pure.

Without a judge it is a matter of form: a score of character n-grams as chrF has it (Popović 2015,
https://aclanthology.org/W15-3049: F of character 1- to 6-grams, recall counting twice as much as precision,
white space left out), and the ratio of lengths. Two good texts about one thing share fewer words than one
might think, so a judge's word counts instead where there is one.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_ORDERS = range(1, 7)
_BETA_SQUARED = 4
# Of a score without a judge.
SIMILARITY, LENGTH = 0.7, 0.3
# Longer texts are compared by their beginnings: it is quadratic in nothing, but many of them come together.
_LONGEST = 20_000
_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Scores:
    """Each from 0 to 1. `judge` is None where nobody was asked."""

    similarity: float
    length: float
    judge: float | None = None

    @property
    def total(self) -> Decimal:
        by_form = SIMILARITY * self.similarity + LENGTH * self.length
        return Decimal(by_form if self.judge is None else self.judge).quantize(_PLACES)

    def as_json(self) -> dict[str, float]:
        found = {"similarity": round(self.similarity, 4), "length": round(self.length, 4)}
        return found if self.judge is None else {**found, "judge": round(self.judge, 4)}


def compare(original: str, candidate: str, *, judge: float | None = None) -> Scores:
    """Scores of a text that would take the place of `original`."""
    return Scores(similarity(original, candidate), length_ratio(original, candidate), judge)


def similarity(original: str, candidate: str) -> float:
    """The mean F of the orders that either text is long enough for; 1 for two empty texts."""
    first, second = _squeezed(original), _squeezed(candidate)
    if first == second:
        return 1.0
    scores = [
        _f_score(_grams(first, order), _grams(second, order))
        for order in _ORDERS
        if max(len(first), len(second)) >= order
    ]
    return sum(scores) / len(scores)


def length_ratio(original: str, candidate: str) -> float:
    """The shorter's length as a share of the longer's; 1 for two empty texts."""
    first, second = len(_squeezed(original)), len(_squeezed(candidate))
    return min(first, second) / max(first, second) if max(first, second) else 1.0


def words_of(text: str, data: Any) -> str:
    """An answer as one text: a structured one by its names and values, in the order of its names."""
    return text if data is None else "\n".join(_leaves(data))


def judged(answer: Any) -> float | None:
    """The score that a judge gave; None if it gave none that can be."""
    score = answer.get("score") if isinstance(answer, Mapping) else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        return None
    return float(score)


def _leaves(data: Any, path: str = "") -> Iterator[str]:
    if isinstance(data, Mapping):
        for name in sorted(data):
            yield from _leaves(data[name], f"{path}.{name}" if path else str(name))
    elif isinstance(data, list):
        for each in data:
            yield from _leaves(each, path)
    else:
        yield f"{path}: {data if isinstance(data, str) else json.dumps(data)}"


def _squeezed(text: str) -> str:
    return "".join(text[:_LONGEST].split())


def _grams(text: str, order: int) -> Counter[str]:
    return Counter(text[start : start + order] for start in range(len(text) - order + 1))


def _f_score(original: Counter[str], candidate: Counter[str]) -> float:
    shared = (original & candidate).total()
    if not shared:
        return 0.0
    precision, recall = shared / candidate.total(), shared / original.total()
    return (1 + _BETA_SQUARED) * precision * recall / (_BETA_SQUARED * precision + recall)
