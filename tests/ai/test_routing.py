import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.models import TaskKind
from apps.ai.routing import PREFERENCES, Candidate, Route, route
from apps.common.ids import uuid7


def candidate(name: str, provider: str, model_class: str, weight: int = 100) -> Candidate:
    return Candidate(uuid7(), name, provider, "model", model_class, "model", weight)


AZURE = candidate("azure", "azure", "advanced")
OPENAI = candidate("openai", "openai", "standard")
ALL = [
    candidate("openai-advanced", "openai", "advanced"),
    OPENAI,
    candidate("azure-standard", "azure", "standard"),
    AZURE,
    candidate("embedding", "openai", "embedding"),
]


def routed(task_kind: str, deployments: list[Candidate], seed: int = 1, **exclusions: Any) -> Route:
    return route(
        task_kind=task_kind,
        deployments=deployments,
        exclusions=exclusions.get("exclusions", {}),
        rng=random.Random(seed),  # noqa: S311  # the same draw each time
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


def test_every_task_that_is_a_text_has_a_preference() -> None:
    assert set(PREFERENCES) == set(TaskKind.values) - {"embedding"}


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


@given(
    st.lists(
        st.builds(
            candidate,
            st.uuids().map(str),
            st.sampled_from(["openai", "azure"]),
            st.sampled_from(["advanced", "standard", "embedding"]),
            st.integers(0, 200),
        )
    ),
    st.sampled_from(sorted(PREFERENCES)),
    st.integers(),
)
def test_every_deployment_is_either_a_candidate_or_explained(
    deployments: list[Candidate], task_kind: str, seed: int
) -> None:
    found = routed(task_kind, deployments, seed)

    assert sorted(str(each["deployment"]) for each in found.explain) == sorted(
        each.name for each in deployments
    )
    assert all(each.model_class != "embedding" for each in found.candidates)
    assert routed(task_kind, deployments, seed) == found
