"""Faults on request: what goes wrong, for which requests, how often.

A rule draws one number per request that it matches, so its effects exclude each other and their rates add up
to at most 1. The draws come from a generator of the rule's own, seeded by the document: the same requests in
the same order meet the same faults.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from apps.sandbox.randomness import generator
from apps.sandbox.retry_after import RetryAfter


class Effect(StrEnum):
    """What a rule does to a request, besides delaying it."""

    NONE = "none"
    ERROR = "error"
    HANG = "hang"
    CUT_BEFORE = "cut_before"
    CUT_AFTER = "cut_after"
    MALFORMED = "malformed"
    CONTENT_FILTER = "content_filter"
    # The AI's alone, from here on.
    RESET = "reset"
    CUT_WITHIN = "cut_within"
    STALL = "stall"
    TRICKLE = "trickle"
    ENDS_EARLY = "ends_early"
    ERROR_EVENT = "error_event"
    ANSWER_FILTER = "answer_filter"
    NO_CHOICES = "no_choices"
    NO_USAGE = "no_usage"
    QUOTA = "quota"
    CONTEXT_LENGTH = "context_length"
    NO_FORMAT = "no_format"


class Distribution(StrEnum):
    CONSTANT = "constant"
    UNIFORM = "uniform"
    EXPONENTIAL = "exponential"
    LOGNORMAL = "lognormal"


# Parameters in the order in which `Latency.seconds` reads them.
PARAMETERS: Mapping[Distribution, tuple[str, ...]] = {
    Distribution.CONSTANT: ("ms",),
    Distribution.UNIFORM: ("min_ms", "max_ms"),
    Distribution.EXPONENTIAL: ("mean_ms",),
    Distribution.LOGNORMAL: ("median_ms", "sigma"),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution of delays; its parameters are in milliseconds (sigma has no unit)."""

    distribution: Distribution
    parameters: Mapping[str, float]

    def seconds(self, rng: random.Random) -> float:
        """One delay, in seconds."""
        first, *rest = (self.parameters[name] for name in PARAMETERS[self.distribution])
        match self.distribution:
            case Distribution.CONSTANT:
                delay = first
            case Distribution.UNIFORM:
                delay = rng.uniform(first, rest[0])
            case Distribution.EXPONENTIAL:
                delay = rng.expovariate(1 / first) if first else 0.0
            case Distribution.LOGNORMAL:
                delay = first * math.exp(rng.gauss(0, rest[0]))
        return delay / 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """The faults of the requests whose facts equal every selector; `count` of them, or all if it is None."""

    selectors: Mapping[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    error_rates: Mapping[int, float] = field(default_factory=dict)
    effect_rates: Mapping[Effect, float] = field(default_factory=dict)
    retry_after: RetryAfter = field(default_factory=RetryAfter)
    stream_gap_ms: float = 0
    count: int | None = None

    def matches(self, facts: Mapping[str, str]) -> bool:
        return all(facts.get(name) == value for name, value in self.selectors.items())


@dataclass(frozen=True, slots=True)
class Fault:
    """What one request meets. Delays in seconds; `status` is set for Effect.ERROR alone."""

    effect: Effect = Effect.NONE
    status: int = 0
    retry_after: RetryAfter = field(default_factory=RetryAfter)
    delay: float = 0
    stream_gap: float = 0


NO_FAULT = Fault()


class FaultPlan:
    """Rules in force: the first that matches and isn't used up decides about a request."""

    def __init__(self, rules: tuple[Rule, ...] = (), *, seed: int = 0) -> None:
        self.rules = rules
        self._generators = [generator(f"{seed}:{index}") for index in range(len(rules))]
        self._used = [0] * len(rules)

    def draw(self, facts: Mapping[str, str]) -> Fault:
        """The fault of a request with these facts (provider, model, account…)."""
        for index, rule in enumerate(self.rules):
            if rule.count is not None and self._used[index] >= rule.count:
                continue
            if rule.matches(facts):
                self._used[index] += 1
                return _draw(rule, self._generators[index])
        return NO_FAULT


def _draw(rule: Rule, rng: random.Random) -> Fault:
    effect, status = _effect(rule, rng.random())
    return Fault(
        effect=effect,
        status=status,
        retry_after=rule.retry_after,
        delay=rule.latency.seconds(rng) if rule.latency else 0,
        stream_gap=rule.stream_gap_ms / 1000,
    )


def _effect(rule: Rule, point: float) -> tuple[Effect, int]:
    """The effect whose share of [0, 1) holds `point`, with its status if it is an error."""
    for status, rate in rule.error_rates.items():
        if point < rate:
            return Effect.ERROR, status
        point -= rate
    for effect, rate in rule.effect_rates.items():
        if point < rate:
            return effect, 0
        point -= rate
    return Effect.NONE, 0
