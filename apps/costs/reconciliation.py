"""What a provider says that it was asked, against what the ledger says: by UTC day and model."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from apps.costs.exports.values import MOST_AMOUNT
from apps.costs.pricing import Rates, Usage, cost

Key = tuple[date, str]
_Number = TypeVar("_Number", int, Decimal)
# What a column of the ledger can hold.
_MOST_TOKENS = 2**31 - 1


class Verdict(StrEnum):
    MATCHED = "matched"
    DIFFERENT = "different"
    OURS_ONLY = "ours_only"
    THEIRS_ONLY = "theirs_only"


@dataclass(frozen=True, slots=True)
class Theirs:
    """A day of a model as the provider counts it. None: its export doesn't say."""

    requests: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    amount: Decimal | None = None

    def __add__(self, other: "Theirs") -> "Theirs":
        return Theirs(
            _sum(self.requests, other.requests),
            _sum(self.input_tokens, other.input_tokens),
            _sum(self.cached_tokens, other.cached_tokens),
            _sum(self.output_tokens, other.output_tokens),
            _sum(self.amount, other.amount),
        )

    @property
    def usage(self) -> Usage | None:
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return Usage(self.input_tokens, self.output_tokens, self.cached_tokens or 0)

    def beside(self, ours: "Ours") -> "Theirs":
        """Where the export doesn't say how many were cached, it is as many as we know of."""
        if self.cached_tokens is not None or self.input_tokens is None:
            return self
        return replace(self, cached_tokens=min(ours.cached_tokens, self.input_tokens))


@dataclass(frozen=True, slots=True)
class Ours:
    """The same by the ledger. Of the attempts, `estimates` still stand at their bound, with no tokens.

    `standing`: the entries of these, by their ids.
    """

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    amount: Decimal = Decimal(0)
    estimates: int = 0
    estimated_amount: Decimal = Decimal(0)
    standing: frozenset[int] = frozenset()

    @property
    def known_amount(self) -> Decimal:
        return self.amount - self.estimated_amount

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens, self.cached_tokens)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Within a share of theirs, or an amount, two figures count as the same."""

    share: Decimal = Decimal("0.005")
    amount: Decimal = Decimal("0.01")
    tokens: int = 0

    def amounts_match(self, theirs: Decimal, ours: Decimal) -> bool:
        return abs(theirs - ours) <= max(self.share * theirs, self.amount)

    def tokens_match(self, theirs: int, ours: int) -> bool:
        return abs(theirs - ours) <= max(self.share * theirs, Decimal(self.tokens))

    def tokens_left(self, theirs: int, ours: int) -> int:
        """Theirs without ours. A few fewer are none."""
        left = theirs - ours
        return 0 if left < 0 and self.tokens_match(theirs, ours) else left


@dataclass(frozen=True, slots=True)
class Rest:
    """What the estimated attempts of a model's day must have used: theirs without all that we know."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Difference:
    """A model's day. `rest` where corrections can explain it, otherwise `reason` says why they can't.

    `priced`: their amount is reckoned from their tokens, by our prices.
    """

    day: date
    model: str
    verdict: Verdict
    theirs: Theirs | None
    ours: Ours | None
    priced: bool = False
    rest: Rest | None = None
    reason: str = ""


def compare(
    theirs: Mapping[Key, Theirs],
    ours: Mapping[Key, Ours],
    *,
    rates: Mapping[Key, Rates],
    tolerance: Tolerance,
    today: date,
    above_bounds: bool = False,
) -> list[Difference]:
    """Every day and model that either of them has, in order.

    `today` (UTC) and later days aren't over, so they are compared and can't be corrected. `above_bounds` lets
    corrections go beyond what was held for their attempts.
    """
    found = []
    for key in sorted({*theirs, *ours}):
        each = _difference(key, theirs.get(key), ours.get(key), rates.get(key), tolerance, above_bounds)
        if each.rest is not None and each.day >= today:
            each = replace(each, rest=None, reason="The day wasn't over when they were compared.")
        found.append(each)
    return found


def _difference(
    key: Key,
    theirs: Theirs | None,
    ours: Ours | None,
    rates: Rates | None,
    tolerance: Tolerance,
    above_bounds: bool,
) -> Difference:
    if theirs is None:
        reason = "The provider has nothing of this day and model." if ours and ours.estimates else ""
        return Difference(*key, Verdict.OURS_ONLY, None, ours, reason=reason)
    priced = theirs.amount is None
    if ours is None:
        amount = _priced(theirs, Ours(), rates) if priced else theirs.amount
        return Difference(*key, Verdict.THEIRS_ONLY, replace(theirs, amount=amount), None, priced)
    theirs = replace(theirs, amount=_priced(theirs.beside(ours), ours, rates)) if priced else theirs
    verdict = Verdict.MATCHED if _match(theirs, ours, tolerance) else Verdict.DIFFERENT
    rest, reason = _rest(theirs.beside(ours), ours, tolerance, above_bounds) if ours.estimates else (None, "")
    return Difference(*key, verdict, theirs, ours, priced, rest, reason)


def _priced(theirs: Theirs, ours: Ours, rates: Rates | None) -> Decimal | None:
    """What theirs come to: what we know, plus or minus what their tokens are more or less than ours."""
    if theirs.usage is None or rates is None:
        return None
    found = ours.known_amount + cost(usage=theirs.usage, rates=rates) - cost(usage=ours.usage, rates=rates)
    return found if abs(found) <= MOST_AMOUNT else None


def _match(theirs: Theirs, ours: Ours, tolerance: Tolerance) -> bool:
    """Requests don't decide: providers count some that cost nothing, and we some that never arrived."""
    if theirs.amount is not None and not tolerance.amounts_match(theirs.amount, ours.amount):
        return False
    if theirs.usage is None:
        return theirs.amount is not None
    return tolerance.tokens_match(theirs.usage.input_tokens, ours.input_tokens) and tolerance.tokens_match(
        theirs.usage.output_tokens, ours.output_tokens
    )


def _rest(theirs: Theirs, ours: Ours, tolerance: Tolerance, above_bounds: bool) -> tuple[Rest | None, str]:
    if theirs.amount is None:
        return None, "The export has no amounts, and the model has no price by which they can be reckoned."
    amount = theirs.amount - ours.known_amount
    if amount < 0 and tolerance.amounts_match(theirs.amount, ours.known_amount):
        amount = Decimal(0)
    tokens = _tokens(theirs.usage, ours, tolerance) if theirs.usage else (0, 0, 0)
    if amount < 0 or min(tokens) < 0 or tokens[1] > tokens[0]:
        return (
            None,
            "They count less than we know without the estimates: something else differs too.",
        )
    if amount > ours.estimated_amount and not above_bounds:
        return None, (
            "They count more than the estimated attempts can have cost: something else differs too, or"
            " a price has risen."
        )
    if max(tokens) > _MOST_TOKENS:
        return None, "They count more tokens than attempts can have."
    return Rest(*tokens, amount=amount), ""


def _tokens(theirs: Usage, ours: Ours, tolerance: Tolerance) -> tuple[int, int, int]:
    """Input, cached and output tokens of theirs without ours; below zero where something else differs."""
    left = tolerance.tokens_left(theirs.input_tokens, ours.input_tokens)
    cached = tolerance.tokens_left(theirs.cached_tokens, ours.cached_tokens)
    if cached > left and tolerance.tokens_match(theirs.cached_tokens, ours.cached_tokens + left):
        cached = left
    return left, cached, tolerance.tokens_left(theirs.output_tokens, ours.output_tokens)


def _sum(one: _Number | None, other: _Number | None) -> _Number | None:
    return None if one is None or other is None else one + other
