"""When two questions are the same one."""

import json
import math
import random
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import example, given
from hypothesis import strategies as st

from apps.ai.flights.identity import identity

TENANT, VERSION = UUID(int=1), UUID(int=2)
QUESTION: dict[str, Any] = {
    "tenant_id": TENANT,
    "prompt_key": "fan_message",
    "prompt_version_id": VERSION,
    "variables": {"fan": {"name": "Grace"}, "price": "12.00"},
    "max_tokens": 500,
    "parameters": {},
    "model_class": "standard",
}

# Few values, so that equal ones meet.
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**70, 0.0, -0.0, 1.0, 0.1]),
    st.sampled_from(["", "1", "null", "é", "e\u0301", '","', "\ud800", "a", "{}"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner),
    max_leaves=5,
)
variables = st.dictionaries(st.sampled_from(["a", "b", "é", "e\u0301"]), values, max_size=3)
questions = st.fixed_dictionaries(
    {
        "tenant_id": st.sampled_from([TENANT, VERSION]),
        "prompt_key": st.sampled_from(["idea", "idea2", "standard"]),
        "prompt_version_id": st.sampled_from([TENANT, VERSION]),
        "variables": variables,
        "max_tokens": st.sampled_from([1, 2, 500]),
        "parameters": variables,
        "model_class": st.sampled_from(["advanced", "standard"]),
    }
)


def exact(value: Any) -> Any:
    """Something that equals another's only if both are the same JSON, unlike Python's 1 == 1.0 == True."""
    if isinstance(value, dict):
        return "object", frozenset((name, exact(each)) for name, each in value.items())
    if isinstance(value, list):
        return "array", tuple(exact(each) for each in value)
    sign = math.copysign(1, value) if isinstance(value, float) else 0
    return type(value).__name__, value, sign


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same with its keys in another order."""
    if isinstance(value, dict):
        names = rng.sample(list(value), len(value))
        return {name: shuffled(value[name], rng) for name in names}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


@given(one=questions, other=questions)
@example(one=QUESTION, other={**QUESTION, "variables": {}, "parameters": QUESTION["variables"]})
def test_two_questions_are_one_exactly_if_all_their_parts_are_equal(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert (identity(**one) == identity(**other)) == (exact(one) == exact(other))


@given(one=variables, other=variables)
def test_variables_are_equal_exactly_if_their_json_is(one: dict[str, Any], other: dict[str, Any]) -> None:
    found = [identity(**{**QUESTION, "variables": each}) for each in (one, other)]
    assert (found[0] == found[1]) == (exact(one) == exact(other))


@given(question=questions, rng=st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(question: dict[str, Any], rng: random.Random) -> None:
    again = {**question, "variables": shuffled(question["variables"], rng)}
    assert identity(**again) == identity(**question)


def test_an_identity_is_a_sha256_in_hex() -> None:
    found = identity(**QUESTION)
    assert len(found) == 64
    assert int(found, 16) > 0


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("tenant_id", UUID(int=9)),
        ("prompt_key", "idea"),
        ("prompt_version_id", UUID(int=9)),
        ("variables", {}),
        ("max_tokens", 501),
        ("parameters", {"temperature": 0.5}),
        ("model_class", "advanced"),
    ],
)
def test_every_part_makes_another_question(part: str, other: Any) -> None:
    assert identity(**{**QUESTION, part: other}) != identity(**QUESTION)


def test_texts_that_only_look_alike_are_different_questions() -> None:
    composed, decomposed = (
        {**QUESTION, "variables": {"city": city}} for city in ("Orl\u00e9ans", "Orle\u0301ans")
    )
    assert identity(**composed) != identity(**decomposed)


zones = st.sampled_from([UTC, timezone(timedelta(hours=2)), None])
unstored = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=4),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none()).flatmap(
        lambda naive: st.builds(lambda zone: naive.replace(tzinfo=zone), zones)
    ),
    st.times(),
)


@given(value=unstored)
@example(value=datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC))
@example(value=datetime(2026, 1, 1, 12, tzinfo=UTC))
@example(value=time(12, 0, 0, 999999))
@example(value=date(2026, 1, 1))
@example(value=Decimal("12.00"))
def test_a_value_is_what_a_row_keeps_of_it(value: Any) -> None:
    stored = json.loads(json.dumps({"value": [value]}, cls=DjangoJSONEncoder))
    assert identity(**{**QUESTION, "variables": {"value": [value]}}) == identity(
        **{**QUESTION, "variables": stored}
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        identity(**{**QUESTION, "variables": {"value": value}})
