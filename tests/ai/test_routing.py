import random
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from apps.ai import routing
from apps.ai.models import TaskKind, TenantPreference
from apps.ai.routing import PREFERENCES, Candidate, Costs, Policy, Route, Wish, route
from apps.common.ids import uuid7
from apps.common.priority import Priority


@dataclass(frozen=True)
class Rate:
    """One price for input and output alike."""

    input_per_million: Decimal
    cached_input_per_million: Decimal | None = None

    @property
    def output_per_million(self) -> Decimal:
        return self.input_per_million


def candidate(name: str, provider: str, model_class: str, weight: int = 100) -> Candidate:
    return Candidate(uuid7(), name, provider, "model", model_class, "model", weight)


def charging(prices: dict[UUID, int]) -> Costs:
    """Dollars for the whole request, by deployment."""
    return Costs({id: Rate(Decimal(price)) for id, price in prices.items()}, 400_000, 600_000)


AZURE = candidate("azure", "azure", "advanced")
OPENAI = candidate("openai", "openai", "standard")
ALL = [
    candidate("openai-advanced", "openai", "advanced"),
    OPENAI,
    candidate("azure-standard", "azure", "standard"),
    AZURE,
    candidate("embedding", "openai", "embedding"),
]


def routed(task_kind: str, deployments: list[Candidate], seed: int = 1, **given: Any) -> Route:
    return route(
        task_kind=task_kind,
        deployments=deployments,
        rng=random.Random(seed),  # noqa: S311  # the same draw each time
        **{"exclusions": {}, **given},
    )


def names(found: Route) -> list[str]:
    return [each.name for each in found.candidates]


@pytest.mark.parametrize("task_kind", ["planning", "multi_platform"])
def test_planning_goes_to_the_advanced_model_at_azure_first(task_kind: str) -> None:
    assert names(routed(task_kind, [OPENAI, AZURE])) == ["azure", "openai"]
    assert names(routed(task_kind, ALL)) == ["azure", "openai-advanced", "azure-standard", "openai"]


@pytest.mark.parametrize("task_kind", ["message", "quick_reply", "idea", "caption"])
def test_writing_goes_to_the_standard_model_at_openai_first(task_kind: str) -> None:
    assert names(routed(task_kind, [AZURE, OPENAI])) == ["openai", "azure"]
    assert names(routed(task_kind, ALL)) == ["openai", "azure-standard", "openai-advanced", "azure"]


def test_every_task_has_a_preference() -> None:
    assert set(PREFERENCES) == set(TaskKind.values)


def test_priorities_and_preferences_are_those_of_the_tables() -> None:
    assert (routing.HIGH, routing.MEDIUM, routing.LOW) == (Priority.HIGH, Priority.MEDIUM, Priority.LOW)
    assert set(Policy) == set(TenantPreference.values)


def test_an_embedding_is_made_by_those_that_make_them_alone() -> None:
    found = routed("embedding", ALL)

    assert names(found) == ["embedding"]
    assert [each["passed_over"] for each in found.explain[1:]] == ["it makes no embeddings"] * 4
    assert {"deployment": "embedding", "passed_over": "it makes embeddings"} in routed("idea", ALL).explain


def test_what_is_excluded_is_passed_over_with_its_reason() -> None:
    found = routed("message", [OPENAI, AZURE], exclusions={OPENAI.id: "disabled"})

    assert names(found) == ["azure"]
    assert {"deployment": "openai", "passed_over": "disabled"} in found.explain


def test_equals_share_the_calls_by_weight() -> None:
    heavy, light = candidate("heavy", "openai", "standard", 75), candidate("light", "openai", "standard", 25)

    first = Counter(names(routed("message", [light, heavy], seed))[0] for seed in range(2000))

    assert 1400 < first["heavy"] < 1600


def test_weight_zero_comes_after_everything_else() -> None:
    reserve = candidate("reserve", "openai", "standard", 0)

    assert names(routed("message", [reserve, AZURE])) == ["azure", "reserve"]


# By class and provider the dearest comes first for planning, by price last.
PRICES = charging({each.id: price for each, price in zip(ALL, (3, 1, 2, 4, 9), strict=True)})
BY_CLASS = ["azure", "openai-advanced", "azure-standard", "openai"]
BY_PRICE = ["openai", "azure-standard", "openai-advanced", "azure"]


@pytest.mark.parametrize(
    ("wish", "expected", "reason"),
    [
        (Wish(), BY_CLASS, "preferred for planning"),
        (Wish(Policy.CHEAPEST), BY_PRICE, "the tenant prefers it"),
        (Wish(priority=Priority.LOW), BY_PRICE, "the priority is low"),
        (Wish(priority=Priority.HIGH), BY_CLASS, "preferred for planning"),
        (Wish(budget_left=0.1), BY_CLASS, "preferred for planning"),
        (Wish(budget_left=0.0999), BY_PRICE, "less than 10 % of the budget is left"),
        (Wish(budget_left=Decimal("-0.5")), BY_PRICE, "less than 10 % of the budget is left"),
        (Wish(budget_left=0.02, priority=Priority.HIGH), BY_CLASS, "preferred for planning"),
        (Wish(budget_left=0.019, priority=Priority.HIGH), BY_PRICE, "less than 2 % of the budget is left"),
        (Wish(Policy.QUALITY, priority=Priority.LOW), BY_CLASS, "preferred for quality"),
        (Wish(Policy.QUALITY, budget_left=0.05), BY_PRICE, "less than 10 % of the budget is left"),
    ],
)
def test_what_caller_and_tenant_want_decides_the_order(wish: Wish, expected: list[str], reason: str) -> None:
    found = routed("planning", ALL, costs=PRICES, wish=wish)

    assert names(found) == expected
    assert reason in str(found.explain[0]["reason"])


def test_a_judge_is_not_chosen_by_what_it_costs() -> None:
    assert names(routed("replay", ALL, costs=PRICES, wish=Wish(Policy.CHEAPEST))) == BY_CLASS


def test_quality_goes_to_the_advanced_models_whatever_the_task() -> None:
    assert names(routed("message", ALL, wish=Wish(Policy.QUALITY))) == BY_CLASS
    assert names(routed("embedding", ALL, wish=Wish(Policy.QUALITY))) == ["embedding"]


def test_a_choice_by_cost_says_what_it_would_cost() -> None:
    first, second, *_ = routed("planning", ALL, costs=PRICES, wish=Wish(Policy.CHEAPEST)).explain

    assert (
        first["reason"]
        == "model (standard) at openai, at most 1.00 USD: the cheapest, since the tenant prefers it"
    )
    assert (
        second["reason"]
        == "model (standard) at azure, at most 2.00 USD: by cost, since the tenant prefers it"
    )


def test_what_has_no_price_is_passed_over() -> None:
    found = routed("message", [OPENAI, AZURE], costs=charging({AZURE.id: 1}))

    assert names(found) == ["azure"]
    assert found.explain[1] == {"deployment": "openai", "passed_over": "no price"}


def test_what_a_breaker_forbids_is_passed_over() -> None:
    found = routed("message", [OPENAI, AZURE], breakers={OPENAI.id: "its breaker is open", AZURE.id: None})

    assert names(found) == ["azure"]
    assert found.explain[1] == {
        "deployment": "openai",
        "passed_over": "its breaker is open",
        "passes": True,
    }


def test_without_the_hybrid_orchestrator_one_provider_alone_is_asked() -> None:
    off = Wish(hybrid=False)

    found = routed("message", ALL, wish=off, exclusions={OPENAI.id: "disabled"})

    assert names(found) == ["openai-advanced"]
    assert {str(each["deployment"]): each.get("passed_over") for each in found.explain} == {
        "openai-advanced": None,
        "openai": "disabled",
        "azure-standard": "hybrid_orchestrator is off",
        "azure": "hybrid_orchestrator is off",
        "embedding": "it makes embeddings",
    }
    assert names(routed("planning", ALL, wish=off)) == ["azure", "azure-standard"]


def test_without_it_the_other_provider_is_asked_if_the_tasks_own_is_not_able() -> None:
    down = dict.fromkeys([each.id for each in ALL if each.provider == "openai"], "its breaker is open")

    found = routed("message", ALL, wish=Wish(hybrid=False), breakers=down)

    assert names(found) == ["azure-standard", "azure"]


def test_without_it_a_choice_by_cost_stays_with_the_tasks_provider() -> None:
    found = routed("planning", ALL, costs=PRICES, wish=Wish(Policy.CHEAPEST, hybrid=False))

    assert names(found) == ["azure-standard", "azure"]


DEPLOYMENTS = st.lists(
    st.builds(
        candidate,
        st.uuids().map(str),
        st.sampled_from(["openai", "azure"]),
        st.sampled_from(["advanced", "standard", "embedding"]),
        st.integers(0, 3) | st.integers(0, 200),
    ),
    max_size=8,
    unique_by=lambda each: each.name,
)
WISHES = st.builds(
    Wish,
    policy=st.sampled_from(Policy),
    priority=st.sampled_from(Priority),
    budget_left=st.none() | st.floats(0, 1) | st.floats(0, 0.12) | st.decimals(0, 1, places=3),
    hybrid=st.booleans(),
)
REASONS = st.sampled_from(["disabled", "its breaker is open", "no key"])


@st.composite
def situations(draw: st.DrawFn) -> dict[str, Any]:
    """Whatever `route` may be asked, but for the draw."""
    deployments = draw(DEPLOYMENTS)
    ids = [each.id for each in deployments]
    some = st.sets(st.sampled_from(ids)) if ids else st.just(set[UUID]())
    priced = draw(some)
    return {
        "task_kind": draw(st.sampled_from(sorted(PREFERENCES))),
        "deployments": deployments,
        "exclusions": {id: draw(REASONS) for id in draw(some)},
        "breakers": {id: draw(st.none() | REASONS) for id in draw(some)},
        "costs": draw(st.none() | st.just(charging({id: draw(st.integers(0, 5)) for id in priced}))),
        "wish": draw(WISHES),
    }


@given(situations(), st.integers())
def test_every_deployment_is_either_a_candidate_or_explained_and_never_both(
    asked: dict[str, Any], seed: int
) -> None:
    found = routed(**asked, seed=seed)

    deployments = {each.name: each for each in asked["deployments"]}
    assert sorted(str(each["deployment"]) for each in found.explain) == sorted(deployments)
    placed = {each["deployment"]: each for each in found.explain if "place" in each}
    assert [placed[each.name]["place"] for each in found.candidates] == [*range(1, len(found.candidates) + 1)]
    assert len(placed) == len(found.candidates)
    assert all(each["reason"] for each in placed.values())
    assert all(each["passed_over"] for each in found.explain if "place" not in each)


@given(situations(), st.integers())
def test_what_is_excluded_is_never_a_candidate(asked: dict[str, Any], seed: int) -> None:
    found = routed(**asked, seed=seed)

    for each in found.candidates:
        assert each.id not in asked["exclusions"]
        assert asked["breakers"].get(each.id) is None
        assert asked["costs"] is None or asked["costs"].most(each.id) is not None
        assert (each.model_class == "embedding") is (asked["task_kind"] == "embedding")
    if not asked["wish"].hybrid:
        assert len({each.provider for each in found.candidates}) <= 1


@given(situations(), st.integers())
def test_who_is_able_is_passed_over_only_while_the_hybrid_orchestrator_is_off(
    asked: dict[str, Any], seed: int
) -> None:
    found = routed(**{**asked, "wish": Wish()}, seed=seed)

    able = [
        each
        for each in asked["deployments"]
        if each.id not in asked["exclusions"]
        and not asked["breakers"].get(each.id)
        and (asked["costs"] is None or each.id in asked["costs"].rates)
        and (each.model_class == "embedding") is (asked["task_kind"] == "embedding")
    ]
    assert set(found.candidates) == set(able)
    off = routed(**{**asked, "wish": Wish(hybrid=False)}, seed=seed)
    assert bool(off.candidates) == bool(able)


@given(situations(), st.integers())
def test_the_same_draw_gives_the_same_route(asked: dict[str, Any], seed: int) -> None:
    assert routed(**asked, seed=seed) == routed(**asked, seed=seed)


@given(situations(), st.integers())
def test_the_cheapest_comes_first_and_weight_zero_last(asked: dict[str, Any], seed: int) -> None:
    assume(asked["task_kind"] != TaskKind.REPLAY)
    asked["costs"] = asked["costs"] or charging(dict.fromkeys([each.id for each in asked["deployments"]], 1))

    found = routed(**{**asked, "wish": Wish(Policy.CHEAPEST)}, seed=seed)

    order = [(each.weight == 0, asked["costs"].most(each.id)) for each in found.candidates]
    assert order == sorted(order)
