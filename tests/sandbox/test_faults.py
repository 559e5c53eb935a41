from collections import Counter
from typing import Any

import pytest

from apps.sandbox.ai.app import read_ai_faults
from apps.sandbox.fault_documents import FaultDocumentError
from apps.sandbox.faults import Effect, Fault, FaultPlan
from apps.sandbox.gateway.settings import read_gateway_faults

FACTS = {"provider": "openai", "model": "gpt-4o"}


def a_plan(*rules: dict[str, Any], seed: int = 1) -> FaultPlan:
    return read_ai_faults({"seed": seed, "rules": list(rules)})


def drawn(plan: FaultPlan, times: int) -> list[Fault]:
    return [plan.draw(FACTS) for _ in range(times)]


def test_without_rules_nothing_happens() -> None:
    assert drawn(a_plan(), 3) == [Fault()] * 3


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    rule = {"error_rates": {"500": 0.3}, "latency": {"distribution": "exponential", "mean_ms": 20}}

    assert drawn(a_plan(rule, seed=7), 50) == drawn(a_plan(rule, seed=7), 50)
    assert drawn(a_plan(rule, seed=7), 50) != drawn(a_plan(rule, seed=8), 50)


def test_rates_are_kept_in_the_long_run() -> None:
    plan = a_plan({"error_rates": {"500": 0.2, "429": 0.1}, "hang": 0.1, "cut_after": 0.05})

    found = Counter((fault.effect, fault.status) for fault in drawn(plan, 20_000))

    expected = {(Effect.ERROR, 500): 0.2, (Effect.ERROR, 429): 0.1, (Effect.HANG, 0): 0.1}
    expected |= {(Effect.CUT_AFTER, 0): 0.05, (Effect.NONE, 0): 0.55}
    assert {kind: count / 20_000 for kind, count in found.items()} == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(
    ("latency", "mean_ms"),
    [
        ({"distribution": "constant", "ms": 40}, 40),
        ({"distribution": "uniform", "min_ms": 10, "max_ms": 50}, 30),
        ({"distribution": "exponential", "mean_ms": 40}, 40),
        # The mean of a lognormal distribution is its median times exp(sigma²/2).
        ({"distribution": "lognormal", "median_ms": 40, "sigma": 0.5}, 45.33),
    ],
)
def test_delays_have_the_mean_of_their_distribution(latency: dict[str, Any], mean_ms: float) -> None:
    delays = [fault.delay for fault in drawn(a_plan({"latency": latency}), 20_000)]

    assert sum(delays) / len(delays) * 1000 == pytest.approx(mean_ms, rel=0.03)
    assert min(delays) >= 0


def test_an_exponential_delay_of_nothing_is_nothing() -> None:
    assert a_plan({"latency": {"distribution": "exponential", "mean_ms": 0}}).draw(FACTS).delay == 0


def test_a_used_up_rule_makes_way_for_the_next() -> None:
    plan = a_plan({"error_rates": {"500": 1}, "count": 2}, {"hang": 1, "count": 1})

    effects = [fault.effect for fault in drawn(plan, 4)]

    assert effects == [Effect.ERROR, Effect.ERROR, Effect.HANG, Effect.NONE]


def test_a_rule_strikes_only_whom_it_selects() -> None:
    plan = a_plan({"provider": "azure", "model": "gpt-4o", "hang": 1})

    assert plan.draw({"provider": "azure", "model": "gpt-4o"}).effect is Effect.HANG
    assert plan.draw({"provider": "azure", "model": "gpt-4"}).effect is Effect.NONE
    assert plan.draw({"provider": "openai", "model": "gpt-4o"}).effect is Effect.NONE


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"rule": []}, "unknown name 'rule'"),
        ({"rules": {}}, "rules: must be a list"),
        ({"seed": True}, "seed: must be a whole number"),
        ({"rules": [{"honor_keys": False}]}, "unknown name 'honor_keys'"),
        ({"rules": [{"hang": 1.5}]}, "rules[0].hang: must be from 0 to 1"),
        ({"rules": [{"hang": "1"}]}, "rules[0].hang: must be a number"),
        ({"rules": [{"hang": 0.6, "error_rates": {"500": 0.6}}]}, "add up to at most 1"),
        ({"rules": [{"error_rates": {"200": 1}}]}, "'200' is no status from 400 to 599"),
        ({"rules": [{"error_rates": [500]}]}, "rules[0].error_rates: must be an object"),
        ({"rules": [{"count": 0}]}, "rules[0].count: must be a whole number of at least 1"),
        ({"rules": [{"retry_after": 1.5}]}, "rules[0].retry_after: must be a whole number"),
        (
            {"rules": [{"retry_after_ms": -1}]},
            "retry_after_ms: must be a whole number of at least 0",
        ),
        ({"rules": [{"retry_after_form": "hours"}]}, "must be one of seconds, date, none"),
        ({"rules": [{"retry_after_form": []}]}, "must be one of seconds, date, none"),
        ({"rules": [{"stall": 1}]}, "unknown name 'stall'"),  # the gateway has no streams
        ({"rules": [{"latency": {"distribution": "normal"}}]}, "latency.distribution: must be one of"),
        (
            {"rules": [{"latency": {"distribution": "uniform", "min_ms": 1}}]},
            "uniform needs min_ms and max_ms",
        ),
        (
            {"rules": [{"latency": {"distribution": "uniform", "min_ms": 2, "max_ms": 1}}]},
            "not exceed max_ms",
        ),
        ({"rules": [{"latency": {"distribution": "constant", "ms": -1}}]}, "ms: must be at least 0"),
        ({"rules": [{"account": ""}]}, "rules[0].account: must be a text"),
        ({"rules": [{"operation": "receive"}]}, "rules[0].operation: must be one of send, lookup"),
        ({"honour_keys": "no"}, "honour_keys: must be true or false"),
        ({"lookup": "absent"}, "lookup: must be one of truthful"),
        ({"revoked_accounts": "anna"}, "revoked_accounts: must be a list"),
        ({"enforce_limit": {"count": 10}}, "enforce_limit.seconds: must be a number"),
        ({"enforce_limit": {"count": 10, "seconds": 0}}, "enforce_limit.seconds: must be more than 0"),
        ({"enforce_limit": {"count": 0, "seconds": 1}}, "enforce_limit.count: must be a whole number"),
    ],
)
def test_a_document_that_says_nothing_sensible_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(FaultDocumentError) as caught:
        read_gateway_faults(document)

    assert complaint in str(caught.value)


def test_ai_rules_name_a_provider_that_exists() -> None:
    with pytest.raises(FaultDocumentError, match="must be one of openai, azure"):
        a_plan({"provider": "other"})
