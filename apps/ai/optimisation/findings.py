"""What a pattern comes to, and how far one may believe it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

# Generations that a finding names, to look at.
MOST_SAMPLES = 10
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Confidence:
    """Between 0 and 1, and where it comes from."""

    value: Decimal
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A recommendation as analysis makes it. `change`: what applying it sets; None where only people can."""

    kind: str
    subject: str
    task_kind: str
    advice: str
    monthly_saving: Decimal
    confidence: Confidence
    evidence: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] | None = None


def confidence(
    best: str, *, because: str, cases: int, half_at: int, is_sample: bool, also: Sequence[str] = ()
) -> Confidence:
    """`best` for a pattern of that kind with very many cases; half of it with `half_at` of them."""
    value = Decimal(best) * cases / (cases + half_at)
    reasons = [because, f"It was seen {cases} times.", *also]
    if is_sample:
        value *= Decimal("0.9")
        reasons.append("Only the newest questions were read.")
    return Confidence(value.quantize(_CENT), tuple(reasons))


def samples(ids: Sequence[UUID]) -> list[str]:
    """The newest of them, as JSON keeps them; `ids` are in the order of time."""
    return [str(each) for each in reversed(ids[-MOST_SAMPLES:])]
