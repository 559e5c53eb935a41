"""Attempts that were paid for and brought no answer, by deployment. Pure."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from apps.ai.optimisation.facts import Facts, Lost
from apps.ai.optimisation.findings import Finding, confidence, samples

KIND = "retries"
# Both: so many, and more than such a share of a deployment's attempts.
LEAST, SHARE = 5, Decimal("0.05")


def find(facts: Facts) -> Iterator[Finding]:
    lost: dict[str, list[Lost]] = {}
    for each in facts.lost:
        lost.setdefault(each.deployment, []).append(each)
    names = {offer.id: offer.name for offer in facts.offers.values()}
    answered = Counter(
        names.get(each.deployment_id) for each in facts.asked if each.paid and each.deployment_id
    )
    shares = {
        name: Decimal(len(lost.get(name, ()))) / (len(lost.get(name, ())) + answered[name])
        for name in {*lost, *(each for each in answered if each is not None)}
    }
    for name, attempts in sorted(lost.items()):
        finding = _of_deployment(name, attempts, shares, answered[name], facts)
        if finding is not None:
            yield finding


def _of_deployment(
    name: str, lost: list[Lost], shares: dict[str, Decimal], answered: int, facts: Facts
) -> Finding | None:
    paid, share = sum((each.cost for each in lost), Decimal(0)), shares[name]
    others = [each for other, each in shares.items() if other != name]
    best = min(others, default=None)
    if len(lost) < LEAST or share <= SHARE or paid <= 0 or (best is not None and best >= share):
        return None
    # As much less as the best of the others loses; alone, half of it might be spared.
    spared = paid / 2 if best is None else paid * (share - best) / share
    outcomes = Counter(each.outcome for each in lost)
    timeouts = outcomes["timeout"] * 2 > len(lost)
    cure = "give it more time for an attempt, or a lower weight" if timeouts else "give it a lower weight"
    return Finding(
        kind=KIND,
        subject=name,
        task_kind="",
        advice=f"{len(lost)} attempts at {name} brought no answer "
        f"({', '.join(f'{count} {outcome}' for outcome, count in outcomes.most_common())}), for {answered} "
        f"that did. Have an operator {cure}.",
        monthly_saving=facts.monthly(spared),
        confidence=confidence(
            "0.4",
            because="What failed in the past may not fail again, and others may fail under its calls.",
            cases=len(lost),
            half_at=20,
            is_sample=facts.is_sample,
        ),
        evidence={
            "answered": answered,
            "lost": len(lost),
            "outcomes": dict(outcomes),
            "attempts_per_answer": str(round(Decimal(len(lost) + answered) / max(answered, 1), 2)),
            "paid_in_span": str(paid),
            "estimated": sum(each.estimated for each in lost),
            "generations": samples(sorted({each.generation_id for each in lost})),
        },
    )
