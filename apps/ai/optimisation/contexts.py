"""Questions that are far longer than others of their kind. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from statistics import median, quantiles

from apps.ai.optimisation.facts import Asked, Facts
from apps.ai.optimisation.findings import Finding, confidence, samples
from apps.costs.pricing import Usage

KIND = "long_contexts"
# Far longer: so many times the median.
FAR = 3
# Without so many questions of a kind nobody knows what is usual, and without so many long ones it is chance.
LEAST, LEAST_LONG = 20, 5


def find(facts: Facts) -> Iterator[Finding]:
    for task_kind, asked in facts.by_kind():
        paid = [each for each in asked if each.paid and each.answered and each.input_tokens]
        if len(paid) >= LEAST:
            finding = _of_kind(task_kind, paid, facts)
            if finding is not None:
                yield finding


def _of_kind(task_kind: str, paid: list[Asked], facts: Facts) -> Finding | None:
    lengths = [each.input_tokens for each in paid]
    usual, upper = median(lengths), int(quantiles(lengths, n=4)[2])
    long = [each for each in paid if each.input_tokens > max(FAR * usual, upper)]
    spared = sum((_spared(each, upper, facts) for each in long), Decimal(0))
    if len(long) < LEAST_LONG or spared <= 0:
        return None
    return Finding(
        kind=KIND,
        subject=task_kind,
        task_kind=task_kind,
        advice=f"{len(long)} of {len(paid)} {task_kind} questions have more than {FAR} times the usual "
        f"{usual:g} input tokens. Look at what they bring along (a long brief, many attributes, a whole "
        f"conversation), and cut it to about {upper} tokens, which three in four don't exceed.",
        monthly_saving=facts.monthly(spared),
        confidence=confidence(
            "0.3",
            because="Whether the answers would be as good without it is for people to say.",
            cases=len(long),
            half_at=10,
            is_sample=facts.is_sample,
        ),
        evidence={
            "questions": len(paid),
            "long": len(long),
            "median_input_tokens": usual,
            "p75_input_tokens": upper,
            "longest_input_tokens": max(lengths),
            "generations": samples([each.id for each in long]),
        },
    )


def _spared(each: Asked, upper: int, facts: Facts) -> Decimal:
    """What the tokens above `upper` cost, by the price in force of who answered."""
    offer = facts.offers.get(each.deployment_id) if each.deployment_id else None
    if offer is None:
        return Decimal(0)
    cached = min(each.cached_tokens, upper)
    whole, cut = offer.price(each.usage), offer.price(Usage(upper, each.output_tokens, cached))
    return Decimal(0) if whole is None or cut is None else max(whole - cut, Decimal(0))
