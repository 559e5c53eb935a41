import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # its stubs are no requirement of ours
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from apps.sandbox.ai.schema import SchemaError, make_data
from apps.sandbox.ai.schema_values import fit
from apps.sandbox.ai.strict import strict_schema_problem
from apps.sandbox.ai.text import listen
from apps.sandbox.randomness import generator
from tests.sandbox.providers import BRIEF, azure_client, both_clients, openai_client

PROMPT = "Write to {{ fan.name }} about the harbour lights and the new sailing films"


def made(schema: dict[str, Any], seed: int = 0) -> Any:
    return make_data(schema, voice=listen([PROMPT]), rng=generator(str(seed)))


class Step(BaseModel):
    title: str
    text: str


class Plan(BaseModel):
    steps: list[Step]
    price: float | None


def test_the_client_parses_an_answer_into_the_model_that_it_asked_for(ai: str) -> None:
    for client in both_clients(ai):
        completion = client.chat.completions.parse(model="gpt-4o", messages=BRIEF, response_format=Plan)

        plan = completion.choices[0].message.parsed
        assert plan is not None
        assert plan.steps
        assert all("{{ fan.name }}" in step.text for step in plan.steps)
        assert all("{{" not in step.title for step in plan.steps)


def test_an_answer_that_is_cut_short_is_no_json(ai: str) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "plan", "schema": Plan.model_json_schema()}}

    choice = (
        openai_client(ai)
        .chat.completions.create(model="gpt-4o", messages=BRIEF, response_format=form, max_tokens=4)
        .choices[0]
    )

    assert choice.finish_reason == "length"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(choice.message.content or "")


def test_a_json_object_has_the_names_that_the_prompt_shows(ai: str) -> None:
    prompt = 'Answer in JSON like {"title": "…", "price": "…"}: an evening of jazz'

    completion = azure_client(ai).chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": prompt}],
        response_format={"type": "json_object"},
    )

    assert set(json.loads(completion.choices[0].message.content or "")) == {"title", "price"}


def test_a_strict_schema_that_the_providers_refuse_is_refused(ai: str) -> None:
    schema = {"name": "plan", "strict": True, "schema": Step.model_json_schema()}
    form: Any = {"type": "json_schema", "json_schema": schema}

    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        openai_client(ai).chat.completions.create(model="gpt-4o", messages=BRIEF, response_format=form)


def test_a_schema_that_makes_no_sense_is_a_bad_request(ai: str) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#/$defs/missing"}}}

    with pytest.raises(openai.BadRequestError, match="Invalid schema"):
        openai_client(ai).chat.completions.create(model="gpt-4o", messages=BRIEF, response_format=form)


def closed(**properties: Any) -> dict[str, Any]:
    """An object as strict schemas want it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def test_a_strict_schema_may_nest_closed_objects() -> None:
    step = {**closed(text={"type": "string"}), "$defs": {"other": closed()}}

    assert (
        strict_schema_problem(closed(steps={"type": "array", "items": step}, none={"type": "null"})) is None
    )


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "array"}, "of 'type: \"object\"'"),
        ({"type": "object", "properties": {}}, "'additionalProperties' is required"),
        ({**closed(a={"type": "string"}), "required": []}, "Missing 'a'"),
        (closed(a={"type": "array", "items": {"type": "object"}}), "('properties', 'a', 'items')"),
        (closed(a={"anyOf": [{"type": "null"}, {"type": "object"}]}), "('properties', 'a', 'anyOf', '1')"),
        ({**closed(), "$defs": {"b": {"properties": {}}}}, "('$defs', 'b')"),
    ],
)
def test_what_a_strict_schema_lacks_is_named(schema: dict[str, Any], complaint: str) -> None:
    assert complaint in (strict_schema_problem(schema) or "")


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "required": ["name", "children", "next"],
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"type": "array", "minItems": 5, "maxItems": 6, "uniqueItems": True, "items": {"type": "integer"}},
        {"type": "array", "minItems": 4, "items": {"type": "boolean"}},
        {"type": "array", "maxItems": 0, "items": {"type": "string"}},
        {"prefixItems": [{"const": 1}, {"type": "null"}], "items": {"type": "string"}},
        {"type": "string", "minLength": 700},
        {"type": "string", "maxLength": 12},
        {"type": "string", "pattern": r"^\d+\.\d{2}$"},
        {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d$"},
        {"type": "string", "format": "date-time"},
        {"type": ["string", "null"], "maxLength": 5},
        {"type": ["null"]},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "integer", "exclusiveMinimum": 99},
        {"type": "integer", "exclusiveMaximum": -5},
        {"type": "integer", "multipleOf": 25, "minimum": 30, "maximum": 60},
        {"type": "number", "multipleOf": 0.5, "maximum": 0.5, "minimum": 0.5},
        {"type": "object", "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}}},
        {"enum": ["a", 1, None]},
        {"oneOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]},
        {
            "allOf": [
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"type": "object", "properties": {"b": {"const": 2}}, "required": ["b"]},
            ]
        },
        True,
    ],
)
def test_data_conforms_to_its_schema(schema: Any) -> None:
    for seed in range(20):
        wrapped = {"type": "object", "required": ["part"], "properties": {"part": schema}}
        wrapped |= {"$defs": schema["$defs"]} if isinstance(schema, dict) and "$defs" in schema else {}

        data = made(wrapped, seed)

        jsonschema.validate(data, wrapped, format_checker=jsonschema.FormatChecker())


def nested(schemas: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.tuples(schemas, st.integers(0, 4)).map(
        lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1], "maxItems": pair[1] + 2}
    )
    names = st.sampled_from(["text", "title", "hashtags", "price", "score", "hour", "reason"])
    objects = st.dictionaries(names, schemas, max_size=4).map(
        lambda properties: {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
    )
    return (
        arrays | objects | st.lists(schemas, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    )


def between(kind: str, least: str, most: str, low: int, high: int) -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(low, high), st.integers(0, high)).map(lambda pair: (pair[0], sum(pair)))
    return bounds.map(lambda pair: {"type": kind, least: pair[0], most: pair[1]})


SCHEMAS = st.recursive(
    between("integer", "minimum", "maximum", -100, 100)
    | between("number", "minimum", "maximum", -100, 100)
    | between("string", "minLength", "maxLength", 0, 300)
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", "b"]}, {"type": "string"}]),
    nested,
    max_leaves=12,
)


@given(schema=SCHEMAS, seed=st.integers(0, 1000))
def test_data_conforms_to_any_schema_of_the_kinds_in_use(schema: dict[str, Any], seed: int) -> None:
    jsonschema.validate(made(schema, seed), schema)


def test_data_is_the_same_for_the_same_seed() -> None:
    assert made(TREE, 3) == made(TREE, 3)


def test_items_differ_where_they_can() -> None:
    hashtags = made(
        {"type": "object", "properties": {"hashtags": {"type": "array", "minItems": 4, "items": {}}}}
    )

    assert len(set(hashtags["hashtags"])) == 4
    assert all(tag.startswith("#") for tag in hashtags["hashtags"])


@pytest.mark.parametrize(
    "schema", [{"type": "colour"}, {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, {"enum": 3}]
)
def test_no_data_can_be_made_for_nonsense(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        made(schema)


@given(most=st.integers(1, 60))
def test_a_text_is_never_cut_inside_a_variable_where_that_can_be(most: int) -> None:
    text = fit("Hello {{ fan.name }}, good evening to you", least=0, most=most, filler="More.")

    assert 0 < len(text) <= most
    assert text.count("{{") == text.count("}}")
