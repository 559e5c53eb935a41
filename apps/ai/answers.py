"""Read a model's answer: whether it is what was asked for, and what to say to the model if not. Pure."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no stubs
from jsonschema.exceptions import SchemaError, UnknownType  # type: ignore[import-untyped]  # likewise
from referencing.exceptions import Unresolvable

from apps.ai.providers.outcomes import Completion
from apps.common.text import storable

_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)
_MAX_PROBLEM = 500
# What a schema that is none raises when an answer is held against it.
_BAD_SCHEMA = (SchemaError, UnknownType, Unresolvable, re.error)


@dataclass(frozen=True, slots=True)
class Read:
    """An answer that can be used; `data` where JSON was asked for."""

    text: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why an answer can't be used, in words that the model can act on."""

    problem: str


def read(completion: Completion, *, schema: Mapping[str, Any] | None) -> Read | Unusable:
    """The answer, if it is complete, not empty and, with a schema, JSON that fits it."""
    if completion.vectors:
        return Read("", [list(vector) for vector in completion.vectors])
    if completion.finish_reason == "length":
        return Unusable("The answer was cut off at the limit of its length. Answer in fewer words.")
    return read_text(completion.text.strip(), schema=schema)


def read_text(text: str, *, schema: Mapping[str, Any] | None) -> Read | Unusable:
    """The same of a text that is known to be complete."""
    if not text:
        return Unusable("The answer was empty.")
    return Read(text) if schema is None else _read_json(text, schema)


def schema_problem(schema: Mapping[str, Any]) -> str:
    """Why this is no JSON schema that answers can be held against; empty if it is one."""
    try:
        Draft202012Validator.check_schema(schema)
        next(iter(_validator(json.dumps(schema)).iter_errors({})), None)
    except _BAD_SCHEMA as error:
        return str(getattr(error, "message", "") or error)
    return ""


def _read_json(text: str, schema: Mapping[str, Any]) -> Read | Unusable:
    fenced = _FENCE.match(text)
    try:
        data = json.loads(fenced[1] if fenced else text, parse_constant=_finite, parse_float=_finite)
        problem = next(iter(_validator(json.dumps(schema)).iter_errors(data)), None)
        if problem is not None:
            return Unusable(f"The JSON doesn't fit at {problem.json_path}: {problem.message[:_MAX_PROBLEM]}.")
        return Read(text, storable(data))
    except RecursionError:
        return Unusable("The JSON is nested too deeply.")
    except ArithmeticError:
        return Unusable("The JSON has a number that is too large.")
    except _BAD_SCHEMA as error:
        return Unusable(f"The schema that it has to fit is no schema: {error}.")
    except ValueError as error:
        return Unusable(f"The answer must be one JSON object and nothing else: {error}.")


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    return Draft202012Validator(json.loads(schema))


def _finite(number: str) -> float:
    """NaN, Infinity and 1e999 are read by Python but are no JSON, and no database keeps them."""
    if not math.isfinite(found := float(number)):
        raise ValueError(f"{number} is no number of JSON")
    return found
