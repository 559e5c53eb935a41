"""Which deployments may answer, in which order, and why. Pure: the draw among equals is an argument."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Candidate:
    """A deployment as routing and calling see it."""

    id: UUID
    name: str
    provider: str
    model: str
    model_class: str
    called: str
    weight: int = 100
    timeout: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Route:
    candidates: tuple[Candidate, ...]
    explain: tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Preference:
    model_class: str
    provider: str


_ADVANCED = Preference("advanced", "azure")
_STANDARD = Preference("standard", "openai")
PREFERENCES: Mapping[str, Preference] = {
    "planning": _ADVANCED,
    "multi_platform": _ADVANCED,
    "message": _STANDARD,
    "quick_reply": _STANDARD,
    "idea": _STANDARD,
    "caption": _STANDARD,
}


def route(
    *, task_kind: str, deployments: Iterable[Candidate], exclusions: Mapping[UUID, str], rng: random.Random
) -> Route:
    """Order the deployments that can do a task; `exclusions` says which may not, and why.

    The task's class of model comes first and, within a class, its provider. Equals share the calls by weight;
    weight 0 comes last of all.
    """
    wanted = PREFERENCES[task_kind]
    able: list[tuple[tuple[bool, bool, bool, float], Candidate]] = []
    passed_over: list[dict[str, object]] = []
    for each in deployments:
        if each.model_class == "embedding":
            passed_over.append({"deployment": each.name, "passed_over": "it makes embeddings"})
        elif each.id in exclusions:
            passed_over.append({"deployment": each.name, "passed_over": exclusions[each.id]})
        else:
            rank = (
                each.weight == 0,
                each.model_class != wanted.model_class,
                each.provider != wanted.provider,
                _draw(each.weight, rng),
            )
            able.append((rank, each))
    able.sort(key=lambda ranked: ranked[0])
    order: list[dict[str, object]] = [
        {"deployment": each.name, "place": place, "reason": _reason(each, wanted, task_kind)}
        for place, (_rank, each) in enumerate(able, start=1)
    ]
    return Route(tuple(each for _rank, each in able), (*order, *passed_over))


def _draw(weight: int, rng: random.Random) -> float:
    # The smallest of exponential draws at rates w₁, w₂… is the first with probability w₁ ÷ Σw.
    return rng.expovariate(weight) if weight else rng.random()


def _reason(each: Candidate, wanted: Preference, task_kind: str) -> str:
    what = f"{each.model} ({each.model_class}) at {each.provider}"
    if each.weight == 0:
        return f"{what}: weight 0, only as a fallback"
    if (each.model_class, each.provider) == (wanted.model_class, wanted.provider):
        return f"{what}: preferred for {task_kind}"
    return f"{what}: fallback from {wanted.model_class} at {wanted.provider}"
