"""The patterns that analysis looks for. Pure."""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from apps.ai.optimisation import contexts, dear_models, misses, repeats, retries
from apps.ai.optimisation.facts import Facts
from apps.ai.optimisation.findings import Finding

PATTERNS: Mapping[str, Callable[[Facts], Iterator[Finding]]] = {
    each.KIND: each.find for each in (repeats, misses, dear_models, contexts, retries)
}


def analyse(facts: Facts, *, least: Decimal) -> list[Finding]:
    """All that is worth at least so much a month, the most first."""
    found = [finding for find in PATTERNS.values() for finding in find(facts)]
    worth = [each for each in found if each.monthly_saving >= least]
    return sorted(worth, key=lambda each: (-each.monthly_saving, each.kind, each.subject))
