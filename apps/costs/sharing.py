"""What a day's estimated attempts must have used, shared out among them to the last digit."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from apps.costs.reconciliation import Rest

_NANO = Decimal(10) ** 10  # the ledger's ten places


@dataclass(frozen=True, slots=True)
class Share:
    """What one of the estimated attempts is taken to have used."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount: Decimal


def share_out(rest: Rest, bounds: Sequence[Decimal]) -> list[Share]:
    """Attempts' shares of a rest, in proportion to their bounds; they add up to it, to the last digit."""
    weights = [int(bound * _NANO) for bound in bounds]
    cached = split(rest.cached_tokens, weights)
    uncached = split(rest.input_tokens - rest.cached_tokens, weights)
    output = split(rest.output_tokens, weights)
    amounts = split(int(rest.amount * _NANO), weights)
    return [
        Share(uncached[at] + cached[at], cached[at], output[at], Decimal(amounts[at]) / _NANO)
        for at in range(len(weights))
    ]


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts in proportion to the weights; what rounding leaves goes to the largest remainders.

    Alike where no weight is above zero. (Hamilton's method.)
    """
    if not any(weights):
        weights = [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in by_remainder[: total - sum(parts)]:
        parts[at] += 1
    return parts
