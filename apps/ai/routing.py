"""Which deployments may answer, in which order, and why. Pure: the draw among equals is an argument.

A deployment is passed over if it makes the other kind of thing (texts, embeddings), is excluded, has no
price, or its breaker or a cool-down forbids it. The first rule that applies orders the others:

| if | then first comes |
|---|---|
| less than `LAST_OF_BUDGET` is left of a budget | the cheapest: the least that the request can cost at most |
| less than `LOW_BUDGET` is left, and the priority isn't high | the cheapest |
| the task is a replay, and so its judge | the balanced order, whatever the tenant prefers |
| the tenant prefers a deployment for this kind of task | that one, then by the rule below that applies |
| the tenant prefers the cheapest | the cheapest |
| the tenant prefers quality | the advanced class, whatever the task |
| the priority is low | the cheapest |
| otherwise (balanced) | the task's class of model and, within it, the task's provider (`PREFERENCES`) |

What is equal by its rule follows the balanced order; what is equal by that too shares the calls by weight.
Weight 0 comes last of all. While the flag `hybrid_orchestrator` is off, one provider alone is asked: the
task's, or another if the task's has nothing that is able.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs import pricing

# Shares of a budget that are left, below which the cheapest goes first.
LOW_BUDGET = 0.10
LAST_OF_BUDGET = 0.02
# As apps.common.priority has them, which knows Django.
HIGH, MEDIUM, LOW = 0, 1, 2
HYBRID_OFF = "hybrid_orchestrator is off"
NO_PRICE = "no price"


class Policy(StrEnum):
    """What a tenant prefers."""

    QUALITY = "quality"
    BALANCED = "balanced"
    CHEAPEST = "cheapest"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment as routing and calling see it. `context_tokens` is None where nobody has said it."""

    id: UUID
    name: str
    provider: str
    model: str
    model_class: str
    called: str
    weight: int = 100
    timeout: timedelta = timedelta(seconds=60)
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What caller and tenant want. `budget_left`: the share, 0 to 1, that the tightest budget has left.

    `first`: the deployment that the tenant prefers for this kind of task.
    """

    policy: Policy = Policy.BALANCED
    first: UUID | None = None
    priority: int = MEDIUM
    budget_left: Decimal | float | None = None
    hybrid: bool = True


_USUAL = Wish()


@dataclass(frozen=True, slots=True)
class Costs:
    """What deployments charge, by their ids, and the request's size: its body's bytes and most tokens."""

    rates: Mapping[UUID, pricing.Rates | None]
    body_bytes: int
    max_tokens: int

    def most(self, deployment_id: UUID) -> Decimal | None:
        """The most that the request can cost there; None without a price."""
        rates = self.rates.get(deployment_id)
        if rates is None:
            return None
        return pricing.bound(body_bytes=self.body_bytes, max_tokens=self.max_tokens, rates=rates)


@dataclass(frozen=True, slots=True)
class Route:
    """`explain` names each deployment once: its place and the reason, or why it was passed over.

    `passes`: its breaker alone was in the way.
    """

    candidates: tuple[Candidate, ...]
    explain: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Preference:
    model_class: str
    provider: str


_ADVANCED = Preference("advanced", "azure")
_STANDARD = Preference("standard", "openai")
_EMBEDDING = Preference("embedding", "openai")
_REPLAY = "replay"
PREFERENCES: Mapping[str, Preference] = {
    "planning": _ADVANCED,
    "multi_platform": _ADVANCED,
    "message": _STANDARD,
    "quick_reply": _STANDARD,
    "idea": _STANDARD,
    "caption": _STANDARD,
    "embedding": _EMBEDDING,
    # The judge of a replay; what is replayed names its deployment.
    _REPLAY: _ADVANCED,
}


@dataclass(frozen=True, slots=True)
class _Rule:
    """What orders the able ones, and why it is this."""

    wanted: Preference
    reason: str
    by_cost: bool = False
    first: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Ranked:
    candidate: Candidate
    cost: Decimal | None
    rank: tuple[bool, bool, Decimal, bool, bool, float]


def route(
    *,
    task_kind: str,
    deployments: Iterable[Candidate],
    exclusions: Mapping[UUID, str],
    rng: random.Random,
    breakers: Mapping[UUID, str | None] | None = None,
    costs: Costs | None = None,
    wish: Wish = _USUAL,
) -> Route:
    """Order the deployments that can do a task, by the rules above.

    `exclusions` says which may not, and why; `breakers` which may not at the moment (None: it may). Without
    `costs` none is passed over for want of a price, and all cost the same.
    """
    search = _Search(exclusions, breakers or {}, costs)
    rule = _rule(task_kind, wish)
    able: list[_Ranked] = []
    for each in deployments:
        if search.may(each, embeds=rule.wanted.model_class == "embedding"):
            cost = costs.most(each.id) if costs and rule.by_cost else None
            able.append(_Ranked(each, cost, _rank(each, rule, cost, rng)))
    able.sort(key=lambda ranked: ranked.rank)
    if able and not wish.hybrid:
        able = search.of_one_provider(able, PREFERENCES[task_kind].provider)
    order: list[dict[str, object]] = [
        {"deployment": each.candidate.name, "place": place, "reason": _reason(each, rule, place, task_kind)}
        for place, each in enumerate(able, start=1)
    ]
    return Route(tuple(each.candidate for each in able), (*order, *search.passed_over))


@dataclass(frozen=True, slots=True)
class _Search:
    exclusions: Mapping[UUID, str]
    breakers: Mapping[UUID, str | None]
    costs: Costs | None
    passed_over: list[dict[str, object]] = field(default_factory=list)

    def may(self, each: Candidate, *, embeds: bool) -> bool:
        if why := self._obstacle(each, embeds=embeds):
            self._pass_over(each, why)
            return False
        if why := self.breakers.get(each.id):
            self._pass_over(each, why, passes=True)
            return False
        return True

    def _obstacle(self, each: Candidate, *, embeds: bool) -> str | None:
        """What stays in the way until somebody changes it."""
        if (each.model_class == "embedding") is not embeds:
            return "it makes no embeddings" if embeds else "it makes embeddings"
        if each.id in self.exclusions:
            return self.exclusions[each.id]
        if self.costs is not None and self.costs.rates.get(each.id) is None:
            return NO_PRICE
        return None

    def of_one_provider(self, able: list[_Ranked], provider: str) -> list[_Ranked]:
        if all(each.candidate.provider != provider for each in able):
            provider = able[0].candidate.provider
        for each in able:
            if each.candidate.provider != provider:
                self._pass_over(each.candidate, HYBRID_OFF)
        return [each for each in able if each.candidate.provider == provider]

    def _pass_over(self, each: Candidate, why: str, *, passes: bool = False) -> None:
        said: dict[str, object] = {"deployment": each.name, "passed_over": why}
        self.passed_over.append({**said, "passes": True} if passes else said)


def _rule(task_kind: str, wish: Wish) -> _Rule:
    wanted, left = PREFERENCES[task_kind], wish.budget_left
    threshold = LAST_OF_BUDGET if wish.priority == HIGH else LOW_BUDGET
    if left is not None and left < threshold:
        return _Rule(wanted, f"less than {100 * threshold:g} % of the budget is left", by_cost=True)
    if task_kind == _REPLAY:
        # A cheap judge would be one of those that are judged.
        return _Rule(wanted, task_kind)
    return replace(_usual_rule(task_kind, wish), first=wish.first)


def _usual_rule(task_kind: str, wish: Wish) -> _Rule:
    """What the tenant prefers in general, or else what fits the task."""
    wanted = PREFERENCES[task_kind]
    if wish.policy is Policy.CHEAPEST:
        return _Rule(wanted, "the tenant prefers it", by_cost=True)
    if wish.policy is Policy.QUALITY:
        return _Rule(_EMBEDDING if wanted is _EMBEDDING else _ADVANCED, "quality")
    if wish.priority == LOW:
        return _Rule(wanted, "the priority is low", by_cost=True)
    return _Rule(wanted, task_kind)


def _rank(
    each: Candidate, rule: _Rule, cost: Decimal | None, rng: random.Random
) -> tuple[bool, bool, Decimal, bool, bool, float]:
    return (
        each.weight == 0,
        rule.first is not None and each.id != rule.first,
        cost or Decimal(0),
        each.model_class != rule.wanted.model_class,
        each.provider != rule.wanted.provider,
        _draw(each.weight, rng),
    )


def _draw(weight: int, rng: random.Random) -> float:
    # The smallest of exponential draws at rates w₁, w₂… is the first with probability w₁ ÷ Σw.
    return rng.expovariate(weight) if weight else rng.random()


def _reason(ranked: _Ranked, rule: _Rule, place: int, task_kind: str) -> str:
    each, wanted = ranked.candidate, rule.wanted
    what = f"{each.model} ({each.model_class}) at {each.provider}"
    if ranked.cost is not None:
        what += f", at most {plain(ranked.cost)} {LEDGER_CURRENCY}"
    if each.weight == 0:
        return f"{what}: weight 0, only as a fallback"
    if each.id == rule.first:
        return f"{what}: the tenant prefers it for {task_kind}"
    if rule.by_cost:
        return f"{what}: {'the cheapest' if place == 1 else 'by cost'}, since {rule.reason}"
    if (each.model_class, each.provider) == (wanted.model_class, wanted.provider):
        return f"{what}: preferred for {rule.reason}"
    return f"{what}: fallback from {wanted.model_class} at {wanted.provider}"
