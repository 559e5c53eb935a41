"""Simple work that a dear model does although a cheaper one is there. Pure.

The tokens that the answers really took are priced anew: where the work was done, and at the cheapest
deployment that could have done it. Both prices are today's, so a change of prices isn't taken for a saving.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from apps.ai.optimisation.facts import Asked, Facts, Offer
from apps.ai.optimisation.findings import Finding, confidence, samples

KIND = "dear_model"
# Short texts, which models of every class can write. Plans are what the advanced class is for.
SIMPLE = ("message", "quick_reply", "caption")
LEAST = 10


def find(facts: Facts) -> Iterator[Finding]:
    for task_kind, asked in facts.by_kind():
        paid = [each for each in asked if each.paid and each.answered]
        if task_kind in SIMPLE and len(paid) >= LEAST:
            yield from _of_kind(task_kind, paid, facts)


def _of_kind(task_kind: str, paid: list[Asked], facts: Facts) -> Iterator[Finding]:
    best: tuple[Decimal, Offer, list[Asked]] | None = None
    for offer in _able(paid, facts):
        dearer, saved = _saved(paid, offer, facts)
        if saved > 0 and len(dearer) >= LEAST and (best is None or saved > best[0]):
            best = (saved, offer, dearer)
    if best is None or facts.preferred.get(task_kind) == best[1].id:
        return
    saved, offer, dearer = best
    served = _served_by(dearer, facts)
    yield Finding(
        kind=KIND,
        subject=f"{task_kind}:{offer.name}",
        task_kind=task_kind,
        advice=f"Have {task_kind} questions answered by {offer.name} ({offer.model}) first. {len(dearer)} of "
        f"{len(paid)} were answered by a dearer one ({', '.join(served)}).",
        monthly_saving=facts.monthly(saved),
        confidence=confidence(
            "0.5",
            because="The saving is the price of the same tokens; whether the answers are as good, a replay "
            "has to show.",
            cases=len(dearer),
            half_at=10,
            is_sample=facts.is_sample,
        ),
        evidence={
            "questions": len(paid),
            "by_deployment": served,
            "cheaper": offer.name,
            "saved_in_span": str(saved),
            "generations": samples([each.id for each in dearer]),
        },
        change={"deployment": str(offer.id)},
    )


def _able(paid: list[Asked], facts: Facts) -> Iterable[Offer]:
    """Deployments that take the longest of these questions."""
    longest = max(each.input_tokens + each.output_tokens for each in paid)
    for offer in sorted(facts.offers.values(), key=lambda each: each.name):
        fits = offer.context_tokens is None or offer.context_tokens >= longest
        if offer.able and offer.rates is not None and offer.model_class != "embedding" and fits:
            yield offer


def _saved(paid: list[Asked], offer: Offer, facts: Facts) -> tuple[list[Asked], Decimal]:
    """The questions that cost less there than where they were answered, and by how much altogether.

    A deployment that would have made some dearer saves as much less.
    """
    dearer: list[Asked] = []
    saved = Decimal(0)
    for each in paid:
        served = facts.offers.get(each.deployment_id) if each.deployment_id else None
        if served is None or served.id == offer.id:
            continue
        was, would = served.price(each.usage), offer.price(each.usage)
        if was is None or would is None:
            continue
        saved += was - would
        if would < was:
            dearer.append(each)
    return dearer, saved


def _served_by(asked: list[Asked], facts: Facts) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in asked:
        if each.deployment_id is not None:
            name = facts.offers[each.deployment_id].name
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))
